import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DemoOptions, readDemoOptions } from "../../../demo/demoOptions.ts";

const PASSWORDS = { DOCKET_DEMO_BOT_PASSWORD: "one", DOCKET_DEMO_SENDER_PASSWORD: "two" };
const URL_MODE = ["--homeserver", "https://matrix.example.org/", "--bot", "docket", "--sender", "@alice:example.org"];

const read = (args: readonly string[], environment: Record<string, string> = PASSWORDS): DemoOptions =>
  readDemoOptions(args, environment);

describe("the demo's options", () => {
  it("take the development homeserver unless another is named", () => {
    assert.deepEqual(read([], {}).homeserver, { kind: "development" });
    assert.deepEqual(read(["--homeserver", "synapse"], {}).homeserver, { kind: "synapse" });
    assert.deepEqual(read(URL_MODE).homeserver, {
      kind: "foreign",
      baseUrl: "https://matrix.example.org",
      bot: { user: "docket", password: "one" },
      sender: { user: "@alice:example.org", password: "two" },
    });
  });

  const without = (option: string): string[] => {
    const at = URL_MODE.indexOf(option);
    return URL_MODE.filter((_, n) => n !== at && n !== at + 1);
  };
  const replaced = (option: string, value: string): string[] => [...without(option), option, value];
  const wrong: readonly [string, readonly string[], RegExp, Record<string, string>?][] = [
    ["an address that is none", ["--homeserver", "example.org"], /such as https:/],
    ["an address of another kind", ["--homeserver", "ftp://example.org"], /such as https:/],
    ["an account without its address", ["--bot", "docket"], /--homeserver URL/],
    ["an account beside a Synapse of its own", ["--homeserver", "synapse", "--sender", "alice"], /--homeserver URL/],
    ["an address without the bot's account", without("--bot"), /--bot USER/],
    ["an address without the sender's account", without("--sender"), /--sender USER/],
    ["a user ID without its @", replaced("--bot", "docket:example.org"), /--bot must be a name or @name:server/],
    ["one account for both", replaced("--sender", "docket"), /two accounts/],
    ["no password for the bot", URL_MODE, /DOCKET_DEMO_BOT_PASSWORD/, { DOCKET_DEMO_SENDER_PASSWORD: "two" }],
    ["no password for the sender", URL_MODE, /DOCKET_DEMO_SENDER_PASSWORD/, { DOCKET_DEMO_BOT_PASSWORD: "one" }],
  ];
  for (const [what, args, says, environment] of wrong) {
    it(`refuse ${what}`, () => {
      assert.throws(() => read(args, environment), says);
    });
  }

  it("repeat no password that somebody wrote into the address", () => {
    const args = replaced("--homeserver", "https://docket:hunter2@matrix.example.org");
    assert.throws(
      () => read(args),
      (error: Error) => /such as https:/.test(error.message) && !error.message.includes("hunter2"),
    );
  });

  it("tell who asks for help nothing else", () => {
    assert.equal(read(["--help", "--homeserver", "nonsense"], {}).help, true);
  });
});
