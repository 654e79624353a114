/** Sync and pagination tokens: `s` + position in the stream + `_` + position in the device's to-device messages. */
import { MatrixError } from "./matrixError.ts";

export interface Position {
  readonly stream: number;
  readonly toDevice: number;
}

export function tokenOf(stream: number, toDevice = stream): string {
  return `s${stream}_${toDevice}`;
}

/** @throws MatrixError 400 for anything that this server did not hand out */
export function positionOf(token: string): Position {
  const found = /^s(\d+)_(\d+)$/.exec(token);
  if (found === null) throw new MatrixError(400, "M_UNKNOWN", "Invalid stream token");
  return { stream: Number(found[1]), toDevice: Number(found[2]) };
}
