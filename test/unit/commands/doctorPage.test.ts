/** The doctor's page: what stands on it, to the letter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { doctorPage } from "../../../src/commands/doctorPage.ts";
import {
  off,
  ok,
  unknown,
  warning,
  worstOf,
  wrong,
  type DoctorReport,
  type Verdict,
} from "../../../src/ops/doctor/finding.ts";

function report(verdicts: Readonly<Record<string, Verdict>>): DoctorReport {
  const findings = Object.entries(verdicts).map(([check, verdict]) => ({ check, ...verdict }));
  return {
    format: 1,
    docket: "0.1.0",
    at: Date.UTC(2026, 10, 24, 17, 0),
    by: "bot",
    state: worstOf(findings),
    homeserver: "https://matrix.example.org",
    user: "@docket:example.org",
    device: "docket1",
    findings,
  };
}

test("the page has the worst first, in lines of 96 columns, with what to do, and few of many details", () => {
  const rooms = Array.from({ length: 7 }, (_, n) => ({ about: `!room${n}:example.org`, found: `It needs ${n}.` }));
  const page = doctorPage(
    report({
      configuration: ok("config.yaml is well."),
      clock: unknown("Not known, because the homeserver does not answer."),
      token: unknown("Not known, because the homeserver does not answer."),
      cross_signing: warning(
        "The bot's device is not signed by its account. Clients that trust signed devices alone (MSC4153) give it no keys.",
        "Sign it.",
      ),
      send_limit: unknown("It is not known.", "Do this:", {
        command: "curl -X POST \\\n  'https://matrix.example.org'",
      }),
      power_levels: wrong("In 7 rooms of 9 the bot may not send what it has to.", "Raise its level.", {
        details: rooms,
      }),
      key_backup: off("There is none."),
    }),
  );
  assert.equal(
    page,
    `1 thing is wrong; 1 warning.
@docket:example.org, device docket1, on https://matrix.example.org
Docket 0.1.0, 2026-11-24T17:00:00.000Z: the running bot looked

WRONG
  power_levels   In 7 rooms of 9 the bot may not send what it has to.
                 - !room0:example.org: It needs 0.
                 - !room1:example.org: It needs 1.
                 - !room2:example.org: It needs 2.
                 - !room3:example.org: It needs 3.
                 - !room4:example.org: It needs 4.
                 - and 2 more; --json has them all
                 > Raise its level.

WARNING
  cross_signing  The bot's device is not signed by its account. Clients that trust signed
                 devices alone (MSC4153) give it no keys.
                 > Sign it.

UNKNOWN
  clock, token
                 Not known, because the homeserver does not answer.
  send_limit     It is not known.
                 > Do this:
                   curl -X POST \\
                     'https://matrix.example.org'

OK
  configuration  config.yaml is well.

OFF
  key_backup     There is none.
`,
  );
  for (const line of page.split("\n")) assert(line.length <= 96, line);
});

test("a page on which all is well says so, and words of strangers do not steer the terminal", () => {
  const page = doctorPage(report({ device: ok("The homeserver calls it \u001b[31m\u202ered.") }));
  assert.match(page, /^All is well\.\n/);
  for (const steering of ["\u001b", "\u202e"]) assert(!page.includes(steering));
  const nobody = { ...report({}), user: null, device: null, homeserver: null, by: "command" } as const;
  assert.match(doctorPage(nobody), /^All is well\.\nDocket 0\.1\.0, .*: docket doctor looked without a bot\n$/);
});
