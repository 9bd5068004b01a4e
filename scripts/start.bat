@echo off
rem Starts the gateway on Windows, inside the Windows Subsystem for Linux: the program itself is for Linux and macOS.
rem What is given here is given to the program: scripts\start.bat check-config
where /q wsl
if errorlevel 1 (
  echo Install the Windows Subsystem for Linux first: wsl --install 1>&2
  exit /b 1
)
wsl --cd "%~dp0.." --exec sh scripts/start.sh %*
