//! The pages of schedules: what they show, the form that makes and changes one, and the buttons.

use serde_json::{Value, json};
use syncline_shared::db::access::Role;

use crate::browser::{Browser, form_token};
use crate::support::{Answer, App};

const NEW: &str = "/schedules/-new";
/// The addresses that change something about the schedule `a`, or ask about it.
const ACTIONS: [&str; 5] = ["run", "pause", "resume", "edit", "delete"];

/// The schedule `a`, every hour, on the connection `acme-shop`; an operator and a viewer.
async fn with_schedule() -> App {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    app.add_user("vic", Role::Viewer).await;
    let schedule = json!({
        "key": "a", "name": "<b>Acme</b>", "target": {"connection": "acme-shop"}, "cron": "0 * * * *",
        "streams": ["products"], "catch_up": {"mode": "all", "cap": 7},
    });
    app.post("/api/v1/schedules", &schedule).await.expect(201);
    app
}

async fn stored(app: &App, key: &str) -> Value {
    app.get(&format!("/api/v1/schedules/{key}"))
        .await
        .expect(200)
}

/// Sends a form from the page that shows it.
async fn fill(browser: &mut Browser<'_>, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
    let token = form_token(&browser.get(page).await.text);
    let mut all = vec![("form_token", token.as_str())];
    all.extend(fields);
    browser.post(to, &all).await
}

#[track_caller]
fn assert_leads_to(answer: &Answer, address: &str) {
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(answer.header("location"), address);
}

/// True if the field's input, however it is written, says that it is wrong.
fn is_wrong(page: &str, field: &str) -> bool {
    page.contains(&format!("id=\"{field}-problem\""))
        && page.contains(&format!("<a href=\"#{field}\">"))
}

#[tokio::test]
async fn an_empty_list_says_what_to_do_next_by_role() {
    let app = App::with_connection().await;
    app.add_user("olga", Role::Operator).await;
    app.add_user("vic", Role::Viewer).await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let page = olga.get("/schedules").await.text;
    assert!(page.contains("Nothing runs by itself yet"), "{page}");
    assert!(page.contains(&format!("<a href=\"{NEW}\">Make a schedule</a>")));
    let mut vic = Browser::signed_in(&app, "vic").await;
    let page = vic.get("/schedules").await.text;
    assert!(page.contains("An operator can make a schedule"), "{page}");
    assert!(!page.contains(NEW));
}

#[tokio::test]
async fn those_that_need_somebody_come_first_then_the_soonest_and_none_is_left_out() {
    let app = App::with_connection().await;
    app.add_user("vic", Role::Viewer).await;
    let make = async |key: &str, when: Value| {
        let mut schedule = json!({"key": key, "target": "everything"});
        schedule
            .as_object_mut()
            .unwrap()
            .extend(when.as_object().unwrap().clone());
        app.post("/api/v1/schedules", &schedule).await.expect(201);
    };
    make("hand", json!({"trigger": "manual"})).await;
    make("later", json!({"every_seconds": 86_400})).await;
    make("sooner", json!({"every_seconds": 3600})).await;
    make("ill", json!({"every_seconds": 86_400})).await;
    make("worn", json!({"every_seconds": 86_400})).await;
    sqlx::query(
        "update syncline.schedule set problem = 'its <zone> is gone', next_at = null, due_at = null where key = 'ill'",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    sqlx::query(
        "update syncline.schedule set paused_at = now(), paused_by = 'syncline', pause_cause = 'failures',
             pause_note = '3 batches in a row failed', next_at = null, due_at = null where key = 'worn'",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let mut browser = Browser::signed_in(&app, "vic").await;
    let page = browser.get("/schedules").await.text;
    let expected = ["ill", "worn", "sooner", "later", "hand"];
    assert_eq!(rows(&page), expected);
    assert!(page.contains("its &#60;zone&#62; is gone"), "{page}");
    assert!(page.contains("It paused itself after failures since"));
    assert!(page.contains("3 batches in a row failed"));
    // A viewer may look only.
    assert!(!page.contains("Run now") && !page.contains("/pause\""));

    let mut seen = Vec::new();
    let mut address = "/schedules?limit=2".to_owned();
    loop {
        let page = browser.get(&address).await.text;
        seen.extend(rows(&page));
        let Some((before, _)) = page.split_once("\" rel=\"next\"") else {
            break;
        };
        let next = before.rsplit_once("href=\"").unwrap().1;
        address = format!("{}&limit=2", next.replace("&#38;", "&"));
    }
    assert_eq!(seen, expected);
    let found = browser.get("/schedules?text=LATE").await.text;
    assert_eq!(rows(&found), ["later"]);
    assert_eq!(browser.get("/schedules?cursor=nonsense").await.status, 400);
}

fn rows(page: &str) -> Vec<String> {
    let rows = page.split("<tr id=\"schedule-").skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_schedules_page_tells_its_ticks_with_their_reasons_and_leads_to_their_runs() {
    let app = with_schedule().await;
    sqlx::query(
        "with s as (select id from syncline.schedule),
              b as (insert into syncline.batch
                        (origin, schedule_id, nominal_at, runs, created_at, ended_at, outcome, succeeded, records)
                    select 'schedule', id, '2026-06-11T01:00:00Z', 1, now(), now(), 'succeeded', 1, jsonb_build_object('read', 40, 'inserted', 40) from s returning id)
         insert into syncline.tick (schedule_id, nominal_at, last_nominal_at, moments, outcome, reason, batch_id, decided_at)
         select s.id, t.at, t.last, t.moments, t.outcome, t.reason, case when t.reason is null then b.id end, t.last + t.late
         from s, b, (values
             ('2026-06-02T01:00:00Z'::timestamptz, '2026-06-08T01:00:00Z'::timestamptz, 1207, 'missed',
              'it was late by more than the catch-up window', interval '1 day'),
             ('2026-06-10T01:00:00Z', '2026-06-10T01:00:00Z', 1, 'skipped', 'no <connection>', interval '0'),
             ('2026-06-11T01:00:00Z', '2026-06-11T01:00:00Z', 1, 'late', null, interval '90 s')
         ) as t (at, last, moments, outcome, reason, late)",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let mut browser = Browser::signed_in(&app, "vic").await;
    let page = browser.get("/schedules/a").await.text;
    for said in [
        "<h1>&#60;b&#62;Acme&#60;/b&#62;</h1>",
        "Every hour, on the hour, UTC: connection acme-shop.",
        "What is new of products",
        "Run for each.",
        "At most 7.",
        "It goes on, however often it fails.",
        "1,207 moments",
        "because it was late by more than the catch-up window",
        "because no &#60;connection&#62;",
        "late by 1m 30s",
        "scheduled sync a complete",
        "1 of the last 1",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(page.matches("<tr id=\"tick-").count(), 3);
    // Once in the lead, and ten to come.
    assert_eq!(page.matches(":00 +00:00").count(), 11, "{page}");
    let (_, after) = page.split_once("/runs?schedule=a&#38;batch=").unwrap();
    let batch = after.split('"').next().unwrap();
    let runs = browser
        .get(&format!("/runs?schedule=a&batch={batch}"))
        .await;
    assert_eq!(runs.status, 200);
    assert!(runs.text.contains("No run matches"), "{}", runs.text);
    let odd = browser.get("/runs?batch=%3Cb%3E").await.text;
    assert!(odd.contains("There is no batch") && !odd.contains("<b>"));
    assert_eq!(browser.get("/schedules/nobody").await.status, 404);

    let older = browser
        .get("/schedules/a?before=2026-06-10T00:00:00Z")
        .await
        .text;
    assert_eq!(older.matches("<tr id=\"tick-").count(), 1, "{older}");
}

#[tokio::test]
async fn a_viewer_sees_no_button_and_is_refused_whatever_is_sent() {
    let app = with_schedule().await;
    let mut vic = Browser::signed_in(&app, "vic").await;
    let page = vic.get("/schedules/a").await.text;
    let token = form_token(&page);
    for action in ACTIONS {
        let address = format!("/schedules/a/{action}");
        assert!(!page.contains(&address), "{action}");
        let answer = vic.post(&address, &[("form_token", &token)]).await;
        assert_eq!(answer.status, 403, "{action}");
    }
    for address in ["edit", "pause", "delete"].map(|action| format!("/schedules/a/{action}")) {
        assert_eq!(vic.get(&address).await.status, 403, "{address}");
    }
    assert_eq!(vic.get(NEW).await.status, 403);
    let answer = vic.post(NEW, &[("form_token", &token), ("key", "b")]).await;
    assert_eq!(answer.status, 403);
    let found = app.get("/api/v1/schedules").await.expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    assert_eq!(found["data"][0]["pause"], Value::Null);
}

#[tokio::test]
async fn a_form_without_the_sessions_token_changes_nothing() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    for action in ACTIONS {
        let answer = olga.post(&format!("/schedules/a/{action}"), &[]).await;
        assert_eq!(answer.status, 403, "{action}");
    }
    assert_eq!(olga.post(NEW, &[("key", "b")]).await.status, 403);
    let found = stored(&app, "a").await;
    assert_eq!(
        (&found["pause"], &found["last_batch"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn run_now_makes_the_runs_and_says_why_when_there_are_none() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let answer = fill(&mut olga, "/schedules", "/schedules/a/run", &[]).await;
    assert_leads_to(&answer, "/schedules/a");
    let page = olga.get("/schedules/a").await.text;
    assert!(page.contains("asked for by olga"), "{page}");
    assert!(page.contains("1 run, not all ended") && page.contains("Running</span>"));
    // Its policy is to skip a connection whose run is unfinished.
    let again = fill(&mut olga, "/schedules/a", "/schedules/a/run", &[]).await;
    assert_eq!(again.status, 409);
    assert!(again.text.contains("acme-shop"), "{}", again.text);
}

#[tokio::test]
async fn a_schedule_is_paused_with_a_note_and_resumed() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let asks = "/schedules/a/pause";
    let too_long = "x".repeat(1001);
    let refused = fill(&mut olga, asks, asks, &[("note", &too_long)]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains(&too_long) && refused.text.contains("allowed are 1000"));
    assert_eq!(stored(&app, "a").await["pause"], Value::Null);

    let answer = fill(&mut olga, asks, asks, &[("note", "<i>stocktaking</i>")]).await;
    assert_leads_to(&answer, "/schedules/a");
    for address in ["/schedules", "/schedules/a"] {
        let page = olga.get(address).await.text;
        assert!(page.contains("Paused by olga since"), "{page}");
        assert!(
            page.contains("stocktaking") && !page.contains("<i>"),
            "{page}"
        );
        assert!(!page.contains(&format!("{asks}\"")), "{page}");
    }
    let page = olga.get("/schedules/a").await.text;
    assert!(page.contains("these would be due if it were resumed"));
    let answer = fill(&mut olga, "/schedules", "/schedules/a/resume", &[]).await;
    assert_leads_to(&answer, "/schedules/a");
    assert_eq!(stored(&app, "a").await["pause"], Value::Null);
}

#[tokio::test]
async fn a_schedule_is_deleted_after_a_question_unless_others_follow_it() {
    let app = with_schedule().await;
    let follower = json!({"key": "b", "target": "everything", "after": {"schedule": "a"}});
    app.post("/api/v1/schedules", &follower).await.expect(201);
    let mut olga = Browser::signed_in(&app, "olga").await;
    let question = olga.get("/schedules/a/delete").await.text;
    assert!(question.contains("Its runs and batches stay"), "{question}");
    let refused = fill(&mut olga, "/schedules/a/delete", "/schedules/a/delete", &[]).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains("Other schedules follow"));
    for key in ["b", "a"] {
        let address = format!("/schedules/{key}/delete");
        let answer = fill(&mut olga, &address, &address, &[]).await;
        assert_leads_to(&answer, "/schedules");
    }
    assert_eq!(app.get("/api/v1/schedules/a").await.status, 404);
}

/// What the form of a new schedule sends when nothing but these is filled in.
fn typed<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("key", "new"),
        ("name", ""),
        ("target_kind", "connection"),
        ("target_name", "acme-shop"),
        ("when", "daily"),
        ("daily_at", "02:00"),
        ("zone", "Europe/Berlin"),
        ("overlap", "queue_one"),
        ("catch_up", "none"),
        ("pause_after", "3"),
        ("do", "save"),
    ];
    all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
    all.extend(fields);
    all
}

#[tokio::test]
async fn each_way_to_be_due_can_be_chosen() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let ways: [(&[(&str, &str)], Value); 9] = [
        (
            &[("when", "every"), ("every", "30"), ("unit", "minutes")],
            json!({"every_seconds": 1800}),
        ),
        (
            &[("when", "hourly"), ("minute", "15")],
            json!({"cron": "15 * * * *"}),
        ),
        (
            &[("when", "daily")],
            json!({"cron": "0 2 * * *", "zone": "Europe/Berlin"}),
        ),
        (
            &[
                ("when", "weekly"),
                ("weekly_at", "06:30"),
                ("days", "mon"),
                ("days", "fri"),
            ],
            json!({"words": "Every Monday and Friday at 06:30, Europe/Berlin"}),
        ),
        (
            &[("when", "business_hours"), ("from", "9"), ("to", "17")],
            json!({"trigger": "cron", "zone": "Europe/Berlin"}),
        ),
        (
            // On the zone's clock.
            &[("when", "once"), ("once_at", "2035-08-01T03:00")],
            json!({"run_at": "2035-08-01T01:00:00Z"}),
        ),
        (
            &[("when", "after"), ("after", "a"), ("after_when", "ended")],
            json!({"after": {"schedule": "a", "when": "ended"}}),
        ),
        (
            &[("when", "cron"), ("cron", "0 4 L * *")],
            json!({"cron": "0 4 L * *"}),
        ),
        (&[("when", "manual")], json!({"trigger": "manual"})),
    ];
    for (number, (fields, expected)) in ways.into_iter().enumerate() {
        let key = format!("new-{number}");
        let mut fields = typed(fields);
        fields.retain(|(name, _)| *name != "key");
        fields.push(("key", &key));
        let answer = fill(&mut olga, NEW, NEW, &fields).await;
        assert_leads_to(&answer, &format!("/schedules/{key}"));
        let made = stored(&app, &key).await;
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&made[name], value, "{made}");
        }
        assert_eq!(
            (
                &made["overlap"],
                &made["catch_up"]["mode"],
                &made["pause_after_failures"]
            ),
            (&json!("queue_one"), &json!("none"), &json!(3))
        );
        assert_eq!(olga.get(&format!("/schedules/{key}")).await.status, 200);

        // Saving the form as it is shown changes nothing.
        let edit = format!("/schedules/{key}/edit");
        let shown = olga.get(&edit).await.text;
        let sent = sent_by(&shown);
        let sent: Vec<(&str, &str)> = sent
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain([("do", "save")])
            .collect();
        assert_leads_to(&olga.post(&edit, &sent).await, &format!("/schedules/{key}"));
        let mut again = stored(&app, &key).await;
        // Time goes on between the two.
        for name in ["updated_at", "next_at", "next_local", "due_at"] {
            again[name] = made[name].clone();
        }
        assert_eq!(again, made);
    }
}

/// What a browser sends of the page's large form.
fn sent_by(page: &str) -> Vec<(String, String)> {
    let (_, form) = page.split_once("id=\"form\"").unwrap();
    let attribute = |tag: &str, name: &str| {
        let (_, after) = tag.split_once(&format!(" {name}=\""))?;
        Some(after.split('"').next().unwrap().to_owned())
    };
    let mut sent = Vec::new();
    let mut select = None;
    for tag in form.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        let is_box = tag.contains("type=\"radio\"") || tag.contains("type=\"checkbox\"");
        if tag.starts_with("input") && (!is_box || tag.ends_with(" checked")) {
            sent.push((
                attribute(tag, "name").unwrap(),
                attribute(tag, "value").unwrap(),
            ));
        } else if tag.starts_with("select") {
            select = attribute(tag, "name");
        } else if tag.starts_with("option") && tag.ends_with(" selected") {
            let value = attribute(tag, "value").unwrap_or_else(|| text.to_owned());
            sent.push((select.clone().unwrap(), value));
        }
    }
    sent
}

/// What must never reach a page as markup.
const EVIL: &str = "\"><script>alert(1)</script>";

/// The field that is wrong, what is typed, and what is said about it.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[tokio::test]
async fn what_cannot_be_accepted_is_told_at_its_field_and_stays_typed() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let cases: [Case; 16] = [
        ("key", &[("key", "No Key")], "allowed: 1 to 63 of a-z"),
        ("key", &[("key", "")], "Enter a key"),
        ("key", &[("key", "a")], "is taken by another schedule"),
        ("key", &[("key", EVIL)], "is no key"),
        (
            "target_name",
            &[("target_name", "nobody")],
            "There is no connection with the id or key",
        ),
        (
            "target_name",
            &[("target_name", "")],
            "Name what is to be synced",
        ),
        (
            "target_name",
            &[("target_kind", "platform"), ("target_name", EVIL)],
            "known: shop",
        ),
        (
            "every",
            &[("when", "every"), ("every", "often")],
            "1 second to 366 days",
        ),
        (
            "minute",
            &[("when", "hourly"), ("minute", "75")],
            "from 0 to 59",
        ),
        ("daily_at", &[("daily_at", "25:00")], "such as 02:00"),
        (
            "days",
            &[("when", "weekly"), ("weekly_at", "02:00")],
            "at least one day",
        ),
        (
            "once_at",
            &[("when", "once"), ("once_at", "2001-01-01T00:00")],
            "is over",
        ),
        (
            "once_at",
            &[("when", "once"), ("once_at", "2035-03-25T02:30")],
            "does not exist in Europe/Berlin",
        ),
        (
            "cron",
            &[("when", "cron"), ("cron", "61 * * * *")],
            "is not usable",
        ),
        ("zone", &[("zone", "Mars/Olympus")], "Mars/Olympus"),
        (
            "pause_after",
            &[("pause_after", "0")],
            "a whole number from 1",
        ),
    ];
    for (field, fields, said) in cases {
        let fields = typed(fields);
        let answer = fill(&mut olga, NEW, NEW, &fields).await;
        assert_eq!(answer.status, 422, "{field} {fields:?}");
        let page = answer.text;
        assert!(is_wrong(&page, field), "{field}: {page}");
        assert!(page.contains(said), "{said}: {page}");
        assert!(page.contains("<title>Error: New schedule"), "{page}");
        assert!(!page.contains("<script>alert"), "{page}");
        let mut sent = sent_by(&page);
        for (name, value) in fields.iter().filter(|(name, _)| *name != "do") {
            let kept = sent.iter().position(|(kept, text)| {
                kept == name
                    && text
                        .replace("&#34;", "\"")
                        .replace("&#60;", "<")
                        .replace("&#62;", ">")
                        == *value
            });
            assert!(kept.is_some(), "{name}={value} was not kept: {sent:?}");
            sent.remove(kept.unwrap());
        }
    }
    // All at once, each at its own field.
    let several = typed(&[
        ("key", "No"),
        ("daily_at", "x"),
        ("zone", "x"),
        ("pause_after", "x"),
    ]);
    let page = fill(&mut olga, NEW, NEW, &several).await.text;
    for field in ["key", "daily_at", "zone", "pause_after"] {
        assert!(is_wrong(&page, field), "{field}: {page}");
    }
    let found = app.get("/api/v1/schedules").await.expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_preview_shows_the_sentence_and_five_ticks_and_saves_nothing() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let fields = typed(&[("do", "preview"), ("key", "")]);
    let answer = fill(&mut olga, NEW, NEW, &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("Every day at 02:00, Europe/Berlin"));
    assert_eq!(
        answer.text.matches(", 02:00 +0").count(),
        5,
        "{}",
        answer.text
    );
    let wrong = typed(&[("do", "preview"), ("when", "cron"), ("cron", "x")]);
    let answer = fill(&mut olga, NEW, NEW, &wrong).await;
    assert_eq!(answer.status, 422);
    assert!(is_wrong(&answer.text, "cron"), "{}", answer.text);
    assert_eq!(app.get("/api/v1/schedules/new").await.status, 404);

    let edit = "/schedules/a/edit";
    let answer = fill(&mut olga, edit, edit, &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("Every day at 02:00, Europe/Berlin"));
    assert_eq!(stored(&app, "a").await["cron"], "0 * * * *");
}

#[tokio::test]
async fn a_change_keeps_what_the_form_does_not_have() {
    let app = with_schedule().await;
    let mut olga = Browser::signed_in(&app, "olga").await;
    let edit = "/schedules/a/edit";
    let shown = olga.get(edit).await.text;
    assert!(
        shown.contains("value=\"&#60;b&#62;Acme&#60;/b&#62;\"") && !shown.contains("<b>Acme"),
        "{shown}"
    );
    let fields = typed(&[
        ("name", "Acme"),
        ("target_kind", "business"),
        ("target_name", "acme"),
        ("catch_up", "all"),
        ("when", "every"),
        ("every", "2"),
        ("unit", "hours"),
    ]);
    assert_leads_to(&fill(&mut olga, edit, edit, &fields).await, "/schedules/a");
    let found = stored(&app, "a").await;
    assert_eq!(found["target"], json!({"business": "acme"}));
    assert_eq!(
        (&found["name"], &found["every_seconds"], &found["cron"]),
        (&json!("Acme"), &json!(7200), &Value::Null)
    );
    assert_eq!(
        (&found["streams"], &found["catch_up"]["cap"]),
        (&json!(["products"]), &json!(7))
    );
    // What is refused, here as a new one is, leaves it as it was.
    let refused = fill(&mut olga, edit, edit, &typed(&[("target_name", "nobody")])).await;
    assert_eq!(refused.status, 422);
    assert!(is_wrong(&refused.text, "target_name"), "{}", refused.text);
    assert_eq!(
        stored(&app, "a").await["target"],
        json!({"business": "acme"})
    );
    assert_eq!(olga.get("/schedules/nobody/edit").await.status, 404);
}
