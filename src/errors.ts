/**
 * The closed set of errors. Each has a stable `code` for programs, a message for people that says what was wrong, where and
 * what to do next, and a `retryable` flag. docs/errors.md lists them; a test holds the list to this file.
 * No message ever carries a token, a key or the body of an event.
 */

/** One table for all commands (docs/errors.md). 1 to 3 are a command's own results, never usage. */
export const ExitCode = {
  ok: 0,
  usage: 64,
  serverUnreachable: 69,
  bug: 70,
  cryptoPanic: 71,
  dataDirectory: 73,
  storage: 74,
  tokenRefused: 77,
  configuration: 78,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export abstract class DocketError extends Error {
  abstract readonly code: string;
  /** Whether the same call may succeed later without anybody changing anything. */
  abstract readonly retryable: boolean;
  /** What the process exits with when this error ends it. */
  readonly exitCode: ExitCode = ExitCode.bug;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** One thing wrong in the configuration. */
export interface ConfigProblem {
  readonly file: string;
  /** Counted from 1; null when the problem has no place in the file (the file is missing). */
  readonly line: number | null;
  readonly column: number | null;
  /** Path in the YAML, such as `handlers[0].steps[1].validate`; empty for the whole document. */
  readonly path: string;
  /** What was found and what is expected, in one sentence. Never the value of a secret. */
  readonly message: string;
  /** What to do about it, where something useful can be said. */
  readonly hint?: string;
}

/** The configuration is not usable; carries every problem found, not just the first. */
export class ConfigError extends DocketError {
  readonly code = "CONFIG";
  readonly retryable = false;
  override readonly exitCode = ExitCode.configuration;
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: { cause?: unknown }) {
    super(problems.map(formatProblem).join("\n"), options);
    this.problems = problems;
  }
}

/** `FILE:LINE:COLUMN: PATH: MESSAGE`, the form that editors and terminals make clickable, and the hint on a line of its own. */
export function formatProblem(problem: ConfigProblem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== null).join(":");
  const text = problem.path === "" ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`;
  return problem.hint === undefined ? text : `${text}\n    ${problem.hint}`;
}

/** What a homeserver wants to see first (client-server API, "User-interactive authentication"). */
export interface AuthenticationChallenge {
  /** Null where it named none. */
  readonly session: string | null;
  /** Each is a list of stages that are enough together. */
  readonly flows: readonly (readonly string[])[];
  /** Where somebody can approve it in a browser; null where no flow is of that kind. */
  readonly approvalUrl: string | null;
}

/** The homeserver answered, and the answer is no. */
export class ServerRefused extends DocketError {
  readonly code = "SERVER_REFUSED";
  /** True for 429 and 5xx. */
  readonly retryable: boolean;
  override readonly exitCode: ExitCode;
  /** HTTP status. */
  readonly status: number;
  /** Matrix error code, such as `M_LIMIT_EXCEEDED`; null where the body had none. */
  readonly errcode: string | null;
  /** How long the server asks us to wait (`retry_after_ms`, `Retry-After`), in milliseconds; null where it said nothing. */
  readonly retryAfterMs: number | null;
  /** 401 `M_UNKNOWN_TOKEN` (soft logouts too: there is no second token to take) or `M_MISSING_TOKEN`: no retry can help. */
  readonly tokenRefused: boolean;
  /** Null unless the request needs user-interactive authentication. */
  readonly challenge: AuthenticationChallenge | null;

  constructor(
    message: string,
    details: {
      status: number;
      errcode: string | null;
      retryAfterMs?: number | null;
      tokenRefused?: boolean;
      challenge?: AuthenticationChallenge | null;
      cause?: unknown;
    },
  ) {
    super(message, { cause: details.cause });
    this.challenge = details.challenge ?? null;
    this.status = details.status;
    this.errcode = details.errcode;
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.tokenRefused = details.tokenRefused ?? false;
    this.retryable = details.status === 429 || details.status >= 500;
    this.exitCode = this.tokenRefused ? ExitCode.tokenRefused : ExitCode.serverUnreachable;
  }
}

/** No usable answer came: connection refused, reset, timed out, truncated or not JSON. */
export class ServerUnreachable extends DocketError {
  readonly code = "SERVER_UNREACHABLE";
  readonly retryable = true;
  override readonly exitCode = ExitCode.serverUnreachable;
  /** True when the request may have taken effect (it was sent; only the reply is missing). */
  readonly doubtful: boolean;

  constructor(message: string, details: { doubtful: boolean; cause?: unknown }) {
    super(message, { cause: details.cause });
    this.doubtful = details.doubtful;
  }
}

/** A handler's step threw instead of returning a verdict. */
export class StepFailed extends DocketError {
  readonly code = "STEP_FAILED";
  readonly retryable = false;
}

/** The database could not be read or written. Fail-stop: nothing goes on after it. */
export class StoreFailed extends DocketError {
  readonly code = "STORE_FAILED";
  readonly retryable = false;
  override readonly exitCode = ExitCode.storage;
}

/** The data directory is in use, belongs to another account or device, or was written by a newer version. */
export class DataDirectoryRefused extends DocketError {
  readonly code = "DATA_DIRECTORY";
  readonly retryable = false;
  override readonly exitCode = ExitCode.dataDirectory;
}

/** The crypto library panicked; its state in memory can't be trusted. Fail-stop. */
export class CryptoPanicked extends DocketError {
  readonly code = "CRYPTO_PANICKED";
  readonly retryable = false;
  override readonly exitCode = ExitCode.cryptoPanic;
}

/** Somebody else settled this entry first: the time-out and the verdict race, and exactly one wins. */
export class LeaseLost extends DocketError {
  readonly code = "LEASE_LOST";
  readonly retryable = false;
}

/** The caller's AbortSignal fired. */
export class Cancelled extends DocketError {
  readonly code = "CANCELLED";
  readonly retryable = false;
}

/** Whether nothing can go on after this error, whatever it was that failed: the disk, the crypto library, or the access token. */
export function endsTheBot(error: unknown): boolean {
  return (
    error instanceof StoreFailed ||
    error instanceof CryptoPanicked ||
    (error instanceof ServerRefused && error.tokenRefused)
  );
}
