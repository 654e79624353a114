/** Codes of connections that failed: the system's, OpenSSL's or undici's, and nothing else that an error may quote. Pure. */

export const NO_CODE = "no reason given";

/** @returns the error's own code; of an attempt at several addresses (IPv6, IPv4) the first one's; for people where there is none */
export function failureCode(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return (first instanceof Error && "code" in first ? knownCode(first.code) : null) ?? NO_CODE;
}

/** @returns null for what is no code */
export function knownCode(code: unknown): string | null {
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) ? code : null;
}

/** Whether TLS failed, before or during its handshake. */
export function isTlsFailure(code: string): boolean {
  return /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO)/.test(code);
}
