/** What the YAML parser's complaints mean to somebody who writes a configuration. Nothing is quoted: a secret may stand there. */
import type { ErrorCode } from "yaml";

/**
 * @param character what stands at the mistake
 * @param line the whole line; it is looked at, never quoted
 * @param inReference the mistake is inside a `${...}`
 */
export function explainSyntax(
  code: ErrorCode,
  character: string,
  line: string,
  inReference: boolean,
): { message: string; hint?: string } {
  if (code === "BAD_ALIAS") {
    return { message: "found a bare `*`, expected text", hint: 'To YAML a `*` is a reference; put it in quotes: "*".' };
  }
  if (code === "BAD_SCALAR_START") {
    const hint = `Put the whole value in quotes${character === "@" ? ', as in "@docket:example.org"' : ""}.`;
    return { message: `found a value that starts with \`${character}\`, expected it in quotes`, hint };
  }
  if (code === "RESOURCE_EXHAUSTION")
    return { message: "found values nested too deeply to be read, expected a few levels" };
  if (code === "TAG_RESOLVE_FAILED") {
    return {
      message: "found a tag (`!…`), expected a plain value",
      hint: "If the value starts with `!`, put it in quotes.",
    };
  }
  if (code === "MULTIPLE_DOCS") return { message: "found a second document (`---`), expected one" };
  if (code === "BAD_DQ_ESCAPE") {
    return {
      message: "found a `\\` in double quotes that starts no known escape",
      hint: "Use single quotes, or write `\\\\`.",
    };
  }
  if (inReference) {
    return {
      message: "found `${...}` inside `{ }` or `[ ]`, expected it in quotes",
      hint: 'Write "${env:NAME}" in quotes, or put the key and its value on a line of their own.',
    };
  }
  if (character === '"' || character === "'")
    return { message: "found a quote that is not closed", hint: `Close it with ${character}.` };
  if (character === "[" || character === "{") {
    return {
      message: `found a \`${character}\` that is not closed, or not on the lines where it belongs`,
      hint: `Close it with ${character === "[" ? "]" : "}"}.`,
    };
  }
  if (code === "BAD_INDENT") {
    return {
      message: "found a line that is indented differently from its neighbours",
      hint: "Keys of one mapping start in the same column.",
    };
  }
  if (code === "BLOCK_AS_IMPLICIT_KEY") {
    return {
      message: "found a second `: ` on one line, expected one",
      hint: "Put a value that contains `: ` in quotes.",
    };
  }
  if (/^\s*(- )?[a-z_]+:\S/.test(line)) {
    return { message: "found text where `key: value` is expected", hint: "Put a space after the colon." };
  }
  return { message: "found text that is not YAML here, expected `key: value` or `- item`" };
}
