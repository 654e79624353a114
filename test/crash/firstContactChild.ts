/**
 * A bot that receives its first contact and kills itself at a certain point of it. Arguments: JSON with the server's address,
 * the account, the data directory, and the number of the point. Exit code 0: there was no such point.
 */
import { KillPoints, receiveIntoJournal } from "../support/firstContact.ts";
import { CryptoPeer, type PeerOptions } from "../support/cryptoPeer.ts";

const options = JSON.parse(process.argv[2] ?? "") as PeerOptions & { killAt: number };
const points = new KillPoints(options.killAt, () => process.kill(process.pid, "SIGKILL"));
const peer = await CryptoPeer.open({ ...options, hooks: points.hooks });
// No start: what is counted is the reception alone.
await receiveIntoJournal(peer, () => points.pass());
await peer.close();
