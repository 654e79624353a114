/** The person at the terminal, for work on the account's identity: asked without a trace, and shown the recovery key once. */
import type { IdentityQuestion, IdentityReply, IdentityReport } from "../ops/device/identityTalk.ts";
import type { Talk } from "../ops/device/deviceOperation.ts";
import { printable } from "../protocol/printable.ts";
import { recoveryKeyWords } from "../session/recoveryHandover.ts";
import type { CommandContext } from "./command.ts";

/** Where there is no terminal every question goes unanswered. */
export function identityTalk(context: CommandContext): Talk<IdentityReport, IdentityQuestion, IdentityReply> {
  const { stdin, stderr } = context;
  let saidUrl: string | null | undefined;
  return {
    signal: context.stopSignal(),
    tell({ approvalUrl }) {
      if (approvalUrl === saidUrl) return;
      saidUrl = approvalUrl;
      const place =
        approvalUrl === null ? "at the account's authorization server" : `at\n\n    ${printable(approvalUrl)}\n\n`;
      stderr.write(
        `The homeserver wants the account's owner to approve this in a browser: sign in as the bot ${place}and allow the cross-signing reset. Waiting for at most 10 minutes ...\n`,
      );
    },
    async ask(question) {
      if (question.kind === "show") {
        if (stderr.isTerminal !== true) return { text: null };
        stderr.write(`${recoveryKeyWords(question.recoveryKey)}\n`);
        return { text: "shown" };
      }
      if (!stdin.isTerminal) return { text: null };
      return { text: await stdin.hiddenLine(promptFor(question)) };
    },
  };
}

function promptFor(question: Exclude<IdentityQuestion, { kind: "show" }>): string {
  if (question.kind === "password")
    return `${question.again ? "That is not it. " : ""}Password of ${printable(question.userId)}: `;
  return `${question.problem === null ? "" : `This can't be used: ${printable(question.problem)}. `}Recovery key of the account (empty: go on without): `;
}
