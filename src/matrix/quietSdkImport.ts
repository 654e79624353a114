/**
 * Imported before matrix-bot-sdk, for its effect: keeps the SDK's import silent on stderr.
 *
 * The SDK loads `htmlencode`, which calls the deprecated `util._extend` while it is loaded; Node then prints a
 * DeprecationWarning (DEP0060) to every user of every command. Node's own advice is `Object.assign`, so that is what
 * `_extend` becomes. Module order makes it work: client.ts imports this file first.
 */
import util from "node:util";

Object.defineProperty(util, "_extend", { value: Object.assign, configurable: true, enumerable: true, writable: true });
