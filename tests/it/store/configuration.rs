//! Providers, models, who serves them, keys and settings.

use llm_orchestrator::{
    fidelity::Fidelity,
    store::{ApiKey, Node, Noun, Store, StoreError},
};
use serde_json::json;

use super::{model, model_provider, provider, scenarios};

scenarios!(
    a_provider_is_read_back_as_it_was_written,
    providers_come_in_the_order_in_which_they_are_preferred,
    names_are_unique,
    an_edit_changes_what_it_says_and_the_time_of_change,
    an_edit_may_refuse,
    edits_at_the_same_time_all_count,
    a_listing_of_models_survives_an_edit,
    deleting_a_provider_or_a_model_ends_their_association,
    an_association_needs_both_its_ends,
    a_model_is_read_back_as_it_was_written,
    an_import_makes_what_is_missing_and_counts_what_is_new,
    an_import_for_a_provider_that_is_gone_changes_nothing,
    a_revoked_key_is_kept_but_not_live,
    a_deleted_key_is_gone_and_noticed,
    a_rotated_key_keeps_both_hashes_and_its_use_is_no_change,
    an_edited_key_is_another_configuration,
    edits_of_one_key_at_the_same_time_all_count,
    what_was_found_out_about_a_provider_goes_with_what_it_was,
    a_setting_is_claimed_once,
    a_snapshot_holds_everything_but_dead_keys,
    every_change_of_the_configuration_is_another_epoch,
    what_changes_no_configuration_is_no_epoch,
    nodes_are_known_while_they_say_that_they_live,
    ids_are_never_given_twice,
    migrating_twice_does_nothing,
    a_reset_leaves_an_empty_database,
    a_healthy_database_passes_its_check,
);

async fn a_provider_is_read_back_as_it_was_written(store: Store) {
    let mut written = provider(&store, "main").await;
    written.base_url = Some("https://llm.example/v1".into());
    written.api_key = Some("v1:sealed".into());
    written.api_keys = Some("v1:sealed list".into());
    written.enabled = false;
    written.rate_limit = Some(600);
    written.protocols = Some(vec!["openai_chat".into(), "anthropic".into()]);
    written.metadata = json!({"region": "eu", "tags": [1, 2]}).as_object().cloned();
    written.options = json!({"location": "eu"}).as_object().cloned();
    written.extra_headers = Some("v1:sealed headers".into());
    written.extra_body = json!({"service_tier": "flex"}).as_object().cloned();
    written.proxy = Some("v1:sealed proxy".into());
    store.insert_provider(&written).await.unwrap();
    assert_eq!(store.provider(written.id).await.unwrap(), Some(written.clone()));
    assert_eq!(store.provider(written.id + 1).await.unwrap(), None);
    assert_eq!(store.providers().await.unwrap(), [written]);
}

async fn providers_come_in_the_order_in_which_they_are_preferred(store: Store) {
    for (name, priority) in [("second", 100), ("third", 100), ("first", 900), ("last", 0)] {
        let mut row = provider(&store, name).await;
        row.priority = priority;
        store.insert_provider(&row).await.unwrap();
    }
    let names: Vec<_> = store.providers().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["first", "second", "third", "last"]);
}

async fn names_are_unique(store: Store) {
    store.insert_provider(&provider(&store, "main").await).await.unwrap();
    let again = provider(&store, "main").await;
    assert!(matches!(store.insert_provider(&again).await, Err(StoreError::Duplicate)));

    store.insert_model(&model(&store, "gpt-x").await).await.unwrap();
    let again = model(&store, "gpt-x").await;
    assert!(matches!(store.insert_model(&again).await, Err(StoreError::Duplicate)));

    let other = provider(&store, "other").await;
    store.insert_provider(&other).await.unwrap();
    let renamed = store.edit_provider(other.id, |row| {
        row.name = "main".into();
        Ok::<_, StoreError>(())
    });
    assert!(matches!(renamed.await, Err(StoreError::Duplicate)));
}

async fn an_edit_changes_what_it_says_and_the_time_of_change(store: Store) {
    let before = provider(&store, "main").await;
    store.insert_provider(&before).await.unwrap();
    let edited = store.edit_provider(before.id, |row| {
        row.enabled = false;
        row.weight = 0;
        row.options = json!({"project": "p"}).as_object().cloned();
        row.proxy = Some("v1:another".into());
        Ok::<_, StoreError>(())
    });
    let after = edited.await.unwrap().unwrap();
    assert!(!after.enabled && after.weight == 0 && after.name == "main" && after.created_at == 1000);
    assert!(after.updated_at > before.updated_at);
    assert_eq!(
        (after.options.as_ref().unwrap()["project"].as_str(), after.proxy.as_deref()),
        (Some("p"), Some("v1:another"))
    );
    assert_eq!(store.provider(before.id).await.unwrap(), Some(after));
    assert_eq!(store.edit_provider(999, |_| Ok::<_, StoreError>(())).await.unwrap(), None);
}

async fn an_edit_may_refuse(store: Store) {
    #[derive(Debug)]
    struct Refused;
    impl From<StoreError> for Refused {
        fn from(error: StoreError) -> Self {
            panic!("{error}")
        }
    }
    let before = model(&store, "gpt-x").await;
    store.insert_model(&before).await.unwrap();
    let edited = store.edit_model(before.id, |row| {
        row.name = "never".into();
        Err(Refused)
    });
    assert!(edited.await.is_err());
    assert_eq!(store.model(before.id).await.unwrap(), Some(before));
}

async fn edits_at_the_same_time_all_count(store: Store) {
    let before = provider(&store, "main").await;
    store.insert_provider(&before).await.unwrap();
    let raise = || {
        let (store, id) = (store.clone(), before.id);
        tokio::spawn(async move {
            store
                .edit_provider(id, |row| {
                    row.priority += 1;
                    Ok::<_, StoreError>(())
                })
                .await
                .unwrap()
        })
    };
    let edits = [raise(), raise(), raise(), raise()];
    for edit in edits {
        edit.await.unwrap();
    }
    assert_eq!(store.provider(before.id).await.unwrap().unwrap().priority, 104);
}

async fn a_listing_of_models_survives_an_edit(store: Store) {
    let row = provider(&store, "main").await;
    store.insert_provider(&row).await.unwrap();
    assert!(store.put_listed_models(row.id, &["a".into(), "b".into()], 77).await.unwrap());
    assert!(!store.put_listed_models(999, &[], 77).await.unwrap());
    let edited = store.edit_provider(row.id, |row| {
        row.listed_models = None;
        row.timeout = 5;
        Ok::<_, StoreError>(())
    });
    edited.await.unwrap();
    let after = store.provider(row.id).await.unwrap().unwrap();
    assert_eq!(
        (after.listed_models, after.listed_at, after.timeout),
        (Some(vec!["a".into(), "b".into()]), Some(77), 5)
    );
}

async fn deleting_a_provider_or_a_model_ends_their_association(store: Store) {
    let (main, other) = (provider(&store, "main").await, provider(&store, "other").await);
    let (small, large) = (model(&store, "small").await, model(&store, "large").await);
    for row in [&main, &other] {
        store.insert_provider(row).await.unwrap();
    }
    for row in [&small, &large] {
        store.insert_model(row).await.unwrap();
        store.insert_model_provider(&model_provider(&store, row, &main).await).await.unwrap();
        store.insert_model_provider(&model_provider(&store, row, &other).await).await.unwrap();
    }
    assert!(store.delete_provider(main.id).await.unwrap());
    assert!(!store.delete_provider(main.id).await.unwrap());
    assert_eq!(store.model_providers().await.unwrap().len(), 2);
    assert!(store.delete_model(small.id).await.unwrap());
    let left = store.model_providers().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].model_id, left[0].provider_id), (large.id, other.id));
    assert!(store.delete_model_provider(left[0].id).await.unwrap());
    assert_eq!(store.model_providers().await.unwrap(), []);
}

async fn an_association_needs_both_its_ends(store: Store) {
    let (stored, missing) = (provider(&store, "main").await, provider(&store, "missing").await);
    store.insert_provider(&stored).await.unwrap();
    let served = model(&store, "small").await;
    store.insert_model(&served).await.unwrap();
    let dangling = model_provider(&store, &served, &missing).await;
    assert!(matches!(store.insert_model_provider(&dangling).await, Err(StoreError::DanglingReference)));

    let mut good = model_provider(&store, &served, &stored).await;
    (good.tool_call, good.image, good.weight) = (false, false, 7);
    store.insert_model_provider(&good).await.unwrap();
    assert_eq!(store.model_provider(good.id).await.unwrap(), Some(good.clone()));
    let twice = model_provider(&store, &served, &stored).await;
    assert!(matches!(store.insert_model_provider(&twice).await, Err(StoreError::Duplicate)));
    let edited = store.edit_model_provider(good.id, |row| {
        row.upstream_name = "small-2".into();
        row.structured_output = false;
        Ok::<_, StoreError>(())
    });
    let edited = edited.await.unwrap().unwrap();
    assert_eq!(store.model_provider(good.id).await.unwrap(), Some(edited));
}

async fn a_model_is_read_back_as_it_was_written(store: Store) {
    let mut written = model(&store, "gpt-x").await;
    written.aliases = vec!["best".into(), "größte".into()];
    written.description = Some("the large one".into());
    written.max_output_tokens = Some(128_000);
    written.input_price = Some(2_500_000);
    written.output_price = Some(10_000_000);
    written.cached_input_price = Some(1_250_000);
    written.cache_write_price = Some(0);
    written.metadata = json!({"owner": "team"}).as_object().cloned();
    store.insert_model(&written).await.unwrap();
    assert_eq!(store.model(written.id).await.unwrap(), Some(written.clone()));
    assert_eq!(store.model_named("gpt-x").await.unwrap(), Some(written));
    assert_eq!(store.model_named("best").await.unwrap(), None);
}

async fn key(store: &Store, name: &str) -> ApiKey {
    ApiKey {
        prefix: "sk-…a1b2".to_owned(),
        owner: Some("ada".into()),
        tags: vec!["blue".into()],
        fidelity: Some(Fidelity::Strict),
        allowed_models: Some(vec!["gpt-*".into()]),
        allowed_providers: Some(vec!["openai".into()]),
        allowed_endpoints: Some(vec!["chat".into()]),
        allowed_addresses: Some(vec!["10.0.0.0/8".into()]),
        requests_per_minute: Some(1),
        tokens_per_minute: Some(2),
        concurrent_requests: Some(3),
        cache: Some(false),
        expires_at: Some(5000),
        ..ApiKey::new(store.new_id(Noun::ApiKey).await.unwrap(), name, name, 1000)
    }
}

async fn a_revoked_key_is_kept_but_not_live(store: Store) {
    let written = key(&store, "team").await;
    store.insert_key(&written).await.unwrap();
    assert!(matches!(store.insert_key(&key(&store, "team").await).await, Err(StoreError::Duplicate)));
    assert_eq!(store.key(written.id).await.unwrap(), Some(written.clone()));
    assert!(written.is_live(4999) && !written.is_live(5000));

    revoke(&store, written.id).await;
    let revoked = store.keys().await.unwrap().remove(0);
    assert_eq!(revoked.revoked_at, Some(2000));
    assert!(!revoked.is_live(1500));
}

async fn revoke(store: &Store, id: i64) {
    let edited = store.edit_key::<StoreError>(id, |row| {
        row.revoked_at = Some(2000);
        Ok(())
    });
    assert!(edited.await.unwrap().is_some());
}

async fn a_deleted_key_is_gone_and_noticed(store: Store) {
    let written = key(&store, "team").await;
    store.insert_key(&written).await.unwrap();
    let before = store.epoch().await.unwrap();
    assert!(store.delete_key(written.id).await.unwrap());
    assert!(!store.delete_key(written.id).await.unwrap());
    assert_eq!(store.key(written.id).await.unwrap(), None);
    assert_ne!(store.epoch().await.unwrap(), before);
}

async fn a_rotated_key_keeps_both_hashes_and_its_use_is_no_change(store: Store) {
    let mut written = key(&store, "team").await;
    store.insert_key(&written).await.unwrap();
    written.rotate("another text", 2000, 500);
    let edited = store.edit_key::<StoreError>(written.id, |row| {
        row.rotate("another text", 2000, 500);
        Ok(())
    });
    assert_eq!(edited.await.unwrap(), Some(written.clone()));
    let before = store.epoch().await.unwrap();
    store.note_key_use(&[written.id, 999], 7000).await.unwrap();
    store.note_key_use(&[], 8000).await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), before);
    let used = ApiKey { last_used_at: Some(7000), ..written };
    assert_eq!(store.key(used.id).await.unwrap(), Some(used));
}

async fn an_edited_key_is_another_configuration(store: Store) {
    let written = key(&store, "team").await;
    store.insert_key(&written).await.unwrap();
    let before = store.epoch().await.unwrap();
    let edited = store.edit_key::<StoreError>(written.id, |row| {
        (row.enabled, row.fidelity, row.cache) = (false, Some(Fidelity::Lenient), Some(true));
        Ok(())
    });
    let expected = ApiKey { enabled: false, fidelity: Some(Fidelity::Lenient), cache: Some(true), ..written.clone() };
    assert_eq!(edited.await.unwrap(), Some(expected.clone()));
    assert_eq!(store.key(written.id).await.unwrap(), Some(expected.clone()));
    assert!(store.epoch().await.unwrap() > before);

    assert!(store.edit_key(999, |_| Ok::<_, StoreError>(())).await.unwrap().is_none());
    let refused = store.edit_key(written.id, |row| {
        row.name = "other".into();
        Err(StoreError::Duplicate)
    });
    assert!(matches!(refused.await, Err(StoreError::Duplicate)));
    assert_eq!(store.key(written.id).await.unwrap(), Some(expected));
}

async fn edits_of_one_key_at_the_same_time_all_count(store: Store) {
    let written = key(&store, "team").await;
    store.insert_key(&written).await.unwrap();
    let more = |letter: char| {
        store.edit_key::<StoreError>(written.id, move |row| {
            row.name.push(letter);
            Ok(())
        })
    };
    let (a, b, c) = tokio::join!(more('a'), more('b'), more('c'));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(store.key(written.id).await.unwrap().unwrap().name.len(), "team".len() + 3);
}

async fn what_was_found_out_about_a_provider_goes_with_what_it_was(store: Store) {
    let written = provider(&store, "main").await;
    store.insert_provider(&written).await.unwrap();
    let found = json!({"models": {"m": {"größe": 1}}}).as_object().cloned().unwrap();
    let before = store.epoch().await.unwrap();
    assert!(store.put_capabilities(written.id, written.updated_at, &found, 2000).await.unwrap());
    let known = store.provider(written.id).await.unwrap().unwrap();
    assert_eq!((known.capabilities, known.examined_at), (Some(found.clone()), Some(2000)));
    assert!(store.epoch().await.unwrap() > before);
    let stale = written.updated_at - 1;
    assert!(!store.put_capabilities(written.id, stale, &found, 3000).await.unwrap(), "it is another by now");

    store.forget_learnt(written.id).await.unwrap();
    assert_eq!(store.provider(written.id).await.unwrap(), Some(written));
}

async fn a_setting_is_claimed_once(store: Store) {
    assert_eq!(store.setting("admin_key").await.unwrap(), None);
    assert!(store.claim_setting("admin_key", "first").await.unwrap());
    assert!(!store.claim_setting("admin_key", "second").await.unwrap());
    assert_eq!(store.setting("admin_key").await.unwrap().as_deref(), Some("first"));
    store.put_setting("admin_key", "third").await.unwrap();
    assert_eq!(store.setting("admin_key").await.unwrap().as_deref(), Some("third"));
}

async fn a_snapshot_holds_everything_but_dead_keys(store: Store) {
    let main = provider(&store, "main").await;
    store.insert_provider(&main).await.unwrap();
    let served = model(&store, "small").await;
    store.insert_model(&served).await.unwrap();
    let association = model_provider(&store, &served, &main).await;
    store.insert_model_provider(&association).await.unwrap();
    let (live, revoked) = (key(&store, "live").await, key(&store, "revoked").await);
    let mut disabled = key(&store, "disabled").await;
    disabled.enabled = false;
    for row in [&live, &revoked, &disabled] {
        store.insert_key(row).await.unwrap();
    }
    revoke(&store, revoked.id).await;

    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.providers, [main]);
    assert_eq!(snapshot.models, [served]);
    assert_eq!(snapshot.model_providers, [association]);
    assert_eq!(snapshot.keys, [live]);
}

async fn every_change_of_the_configuration_is_another_epoch(store: Store) {
    let mut seen = vec![store.epoch().await.unwrap()];
    let mut changed = async |what: &str| {
        let epoch = store.epoch().await.unwrap();
        assert!(epoch > *seen.last().unwrap(), "{what}");
        assert_eq!(store.snapshot().await.unwrap().epoch, epoch);
        seen.push(epoch);
    };
    let main = provider(&store, "main").await;
    store.insert_provider(&main).await.unwrap();
    changed("a provider").await;
    let lighter = store.edit_provider(main.id, |row| {
        row.weight = 1;
        Ok::<_, StoreError>(())
    });
    lighter.await.unwrap();
    changed("another weight").await;
    store.put_listed_models(main.id, &["a".into()], 5).await.unwrap();
    changed("a list").await;
    let served = model(&store, "small").await;
    store.insert_model(&served).await.unwrap();
    changed("a model").await;
    let association = model_provider(&store, &served, &main).await;
    store.insert_model_provider(&association).await.unwrap();
    changed("an association").await;
    store.delete_model_provider(association.id).await.unwrap();
    changed("its end").await;
    store.import_models(main.id, &pairs(&[("a", "a"), ("b", "b")])).await.unwrap();
    changed("an import").await;
    let team = key(&store, "team").await;
    store.insert_key(&team).await.unwrap();
    changed("a key").await;
    revoke(&store, team.id).await;
    changed("a key's end").await;
    store.delete_model(served.id).await.unwrap();
    changed("a model's end").await;
    store.delete_provider(main.id).await.unwrap();
    changed("a provider's end").await;
}

async fn what_changes_no_configuration_is_no_epoch(store: Store) {
    let before = store.epoch().await.unwrap();
    store.import_models(999, &pairs(&[("a", "a")])).await.unwrap_err();
    assert_eq!(store.epoch().await.unwrap(), before);
    store.insert_provider(&provider(&store, "main").await).await.unwrap();
    let before = store.epoch().await.unwrap();
    let reseal = store.reseal_providers(|row| {
        row.sealed().into_iter().for_each(|sealed| *sealed = Some("v1:sealed anew".into()));
        Ok::<_, StoreError>(())
    });
    assert_eq!(reseal.await.unwrap().unwrap(), 1);
    let resealed = store.providers().await.unwrap().pop().unwrap().sealed().map(|sealed| sealed.clone().unwrap());
    assert_eq!(resealed, ["v1:sealed anew"; 4].map(str::to_owned), "everything that is sealed is sealed anew");
    store.put_setting("other", "value").await.unwrap();
    store.delete_provider(999).await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), before);
}

fn node(id: &str, started_at: i64) -> Node {
    Node {
        id: id.into(),
        address: "127.0.0.1:8000".into(),
        hostname: "host".into(),
        version: "1.0.0".into(),
        epoch: 1,
        started_at,
        seen_at: started_at,
    }
}

async fn nodes_are_known_while_they_say_that_they_live(store: Store) {
    let (first, second) = (node("b", 1000), node("a", 2000));
    store.put_node(&second, 0).await.unwrap();
    store.put_node(&first, 0).await.unwrap();
    assert_eq!(store.nodes(1500).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(store.nodes(0).await.unwrap(), [first.clone(), second]);
    let later = Node { epoch: 2, seen_at: 3000, ..first };
    store.put_node(&later, 2500).await.unwrap();
    assert_eq!(store.nodes(0).await.unwrap(), [later], "the other one was forgotten");
    store.delete_node("b").await.unwrap();
    assert_eq!(store.nodes(0).await.unwrap(), []);
}

async fn ids_are_never_given_twice(store: Store) {
    let first = provider(&store, "first").await;
    store.insert_provider(&first).await.unwrap();
    store.delete_provider(first.id).await.unwrap();
    assert!(store.new_id(Noun::Provider).await.unwrap() > first.id);
    assert_eq!(store.new_id(Noun::Model).await.unwrap(), 1);
}

async fn migrating_twice_does_nothing(store: Store) {
    assert_eq!(store.pending_migrations().await.unwrap(), 0);
    assert_eq!(store.migrate().await.unwrap(), 0);
}

async fn a_reset_leaves_an_empty_database(store: Store) {
    store.insert_provider(&provider(&store, "main").await).await.unwrap();
    store.reset().await.unwrap();
    assert_eq!(store.providers().await.unwrap(), []);
    assert_eq!(store.new_id(Noun::Provider).await.unwrap(), 1);
}

async fn a_healthy_database_passes_its_check(store: Store) {
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    store.ping().await.unwrap();
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(upstream, name)| ((*upstream).to_owned(), (*name).to_owned())).collect()
}

async fn an_import_makes_what_is_missing_and_counts_what_is_new(store: Store) {
    let main = provider(&store, "main").await;
    store.insert_provider(&main).await.unwrap();
    let mut known = model(&store, "known").await;
    known.aliases = vec!["nick".into()];
    store.insert_model(&known).await.unwrap();
    let wanted = pairs(&[("a", "a"), ("a-2", "a"), ("k", "nick"), ("known", "known")]);
    assert_eq!(store.import_models(main.id, &wanted).await.unwrap(), 4);
    assert_eq!(store.import_models(main.id, &wanted).await.unwrap(), 0);
    let names: Vec<_> = store.models().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["a", "known"]);
    let served = store.model_providers().await.unwrap();
    let of_known = served.iter().filter(|row| row.model_id == known.id).map(|row| row.upstream_name.as_str());
    assert_eq!(of_known.collect::<Vec<_>>(), ["k", "known"]);
    // What an import made can be changed like anything else.
    let made = store.model_named("a").await.unwrap().unwrap();
    assert!(made.enabled && made.aliases.is_empty());
}

async fn an_import_for_a_provider_that_is_gone_changes_nothing(store: Store) {
    let result = store.import_models(999, &pairs(&[("a", "a")])).await;
    assert!(matches!(result, Err(StoreError::DanglingReference)), "{result:?}");
    assert_eq!(store.models().await.unwrap(), []);
}
