/** `docket request` on an account whose identity does not sign it: asked all the same, and said. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { docket } from "../support/docketCommand.ts";
import { requestScene } from "../support/requestScene.ts";
import { asker } from "../support/requesterCommand.ts";

test("a request from a device that its account does not sign is sent, and that answers may not be readable is said", async (t) => {
  const { server, who, roomId } = await requestScene(t, true);
  const first = who.ask([roomId, "--type", "org.example.report", "--lifetime", "10m"]);
  await first.fact("sent");
  assert.equal((await first.kill("SIGTERM")).stderr, "");
  assert.match((await docket("identity", "show", "--config", who.config)).stdout, /^identity +signs this device$/m);

  const other = asker(t, server, { account: server.signIn(who.account.userId, "OTHER") });
  const second = other.ask([roomId, "--type", "org.example.report", "--lifetime", "10m"]);
  await second.fact("sent");
  const { stderr } = await second.kill("SIGTERM");
  assert.match(
    stderr,
    /^docket: answers may not be readable here\. .*its recovery key is not in account\.recovery_key/,
  );
});
