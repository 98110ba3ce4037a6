use super::*;
use crate::plan;

#[test]
fn message_causes_and_hints_come_in_that_order_and_commands_stand_alone() {
    let failure = Failure::new(Kind::Usage, "there is no deployment `dev`")
        .because("state/ has no files\nit is empty")
        .hint("make it: drctl up --suffix dev")
        .hint("ask whoever made it");
    insta::assert_snapshot!(text(&failure, Page::PLAIN), @"
    error: there is no deployment `dev`
      because: state/ has no files
        it is empty
      hint: make it:
        drctl up --suffix dev
      hint: ask whoever made it
    ");
}

#[test]
fn every_problem_of_a_plan_shows_its_place() {
    let text = "[network]\nnat = \"per-zone\"\n\n[events]\nforwardin = true\n";
    let problems = plan::load("plans/bad.toml", text).expect_err("the plan is bad");
    insta::assert_snapshot!(super::problems(&problems, Page::PLAIN), @r#"
      × network.nat: unknown value "per-zone"; one of "per-az", "single", "none"
       ╭─[plans/bad.toml:2:7]
     1 │ [network]
     2 │ nat = "per-zone"
       ·       ──────────
     3 │
       ╰────
      help: did you mean "per-az"?
      × events.forwardin: unknown key "forwardin"
       ╭─[plans/bad.toml:5:1]
     4 │ [events]
     5 │ forwardin = true
       · ─────────
       ╰────
      help: did you mean "forwarding"?
    "#);
    insta::assert_snapshot!(problems_summary(&problems), @"plans/bad.toml has 2 problems; nothing was called");
}
