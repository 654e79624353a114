/** Questions that may fail: each answer, or what went wrong, as a fact. Nothing that is asked ends the doctor. */
import { ConfigError, DocketError, ServerRefused } from "../../errors.ts";
import type { Asked, Failure } from "./facts.ts";

/** Never rejects. */
export async function ask<T>(question: () => Promise<T> | T): Promise<Asked<T>> {
  try {
    return { kind: "known", value: await question() };
  } catch (error) {
    return { kind: "failed", failure: failureOf(error) };
  }
}

/** The same where 404 with a Matrix error code is an answer: there is no such thing. */
export function askIfThere<T>(question: () => Promise<T>): Promise<Asked<T | null>> {
  return ask(async () => {
    try {
      return await question();
    } catch (error) {
      if (error instanceof ServerRefused && error.status === 404 && error.errcode === "M_NOT_FOUND") return null;
      throw error;
    }
  });
}

export function notAsked(why: string): { readonly kind: "not_asked"; readonly why: string } {
  return { kind: "not_asked", why };
}

export function failureOf(error: unknown): Failure {
  const refused = error instanceof ServerRefused ? error : null;
  return {
    code: error instanceof DocketError ? error.code : "BUG",
    problem: problemOf(error),
    status: refused?.status ?? null,
    errcode: refused?.errcode ?? null,
    tokenRefused: refused?.tokenRefused ?? false,
  };
}

function problemOf(error: unknown): string | null {
  // In one line, and without the place: the configuration is told by itself.
  if (error instanceof ConfigError) return error.problems.map(({ message }) => message).join("; ");
  return error instanceof DocketError ? error.message : null;
}
