import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { describeEndpoint, endpointNames, endpointPath, nameEndpoint } from "../../../src/matrix/endpoint.ts";

const rooms = "/_matrix/client/v3/rooms";

describe("endpoints", () => {
  it("take room IDs without a server part and event IDs with slashes", () => {
    assert.equal(
      endpointPath(rooms, "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", "members"),
      `${rooms}/!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM/members`,
    );
    assert.equal(
      endpointPath(rooms, "!a:b.org", "event", "$a/b?c#d:e.org"),
      `${rooms}/!a%3Ab.org/event/%24a%2Fb%3Fc%23d%3Ae.org`,
    );
  });

  it("never let a segment leave its place", () => {
    for (const segment of ["", ".", "..", "\ud800"])
      assert.throws(() => endpointPath(rooms, segment, "members"), TypeError);
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (segment) => {
        if (segment === "." || segment === "..") return true;
        const path = endpointPath(rooms, segment, "members");
        const { pathname, origin } = new URL(path, "http://127.0.0.1");
        return (
          origin === "http://127.0.0.1" &&
          pathname === path &&
          decodeURIComponent(path.split("/").at(-2) ?? "") === segment
        );
      }),
    );
  });

  it("are described without identifiers and query", () => {
    const cases = [
      [`${rooms}/!abc%3Ax.org/send/m.room.message/docket`, `${rooms}/{roomId}/send/m.room.message/{txnId}`],
      [`${rooms}/%21abc/event/%24abc%2Fdef`, `${rooms}/{roomId}/event/{eventId}`],
      ["/_matrix/client/v3/profile/%40a%3Ab?access_token=secret", "/_matrix/client/v3/profile/{userId}"],
      [
        "/_matrix/client/v3/sendToDevice/m.room.encrypted/0c1fA-2",
        "/_matrix/client/v3/sendToDevice/m.room.encrypted/{id}",
      ],
      [
        "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
        "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
      ],
      ["/_matrix/client/v1/media/download/example.org/abc", "/_matrix/client/v1/media/download/{serverName}/{mediaId}"],
      ["/_matrix/client/v3/devices/ABCDEFGHIJ", "/_matrix/client/v3/devices/{id}"],
      ["/_matrix/client/v3/x/%zz", "/_matrix/client/v3/x/{id}"],
    ] as const;
    for (const [endpoint, description] of cases) assert.equal(describeEndpoint(endpoint), description);
  });
});

describe("endpoints of metrics", () => {
  it("have names for what the bot asks for", () => {
    const named: Readonly<Record<string, string>> = {
      "/_matrix/client/versions": "versions",
      "/_matrix/client/v3/sync": "sync",
      "/_matrix/client/v3/account/whoami": "account/whoami",
      [`${rooms}/!a%3Ab.org/send/m.room.encrypted/t1`]: "rooms/send",
      [`${rooms}/!a%3Ab.org/receipt/m.delivery/%24e`]: "rooms/receipt",
      [`${rooms}/!a%3Ab.org/joined_members`]: "rooms/joined_members",
      [`${rooms}/!a%3Ab.org/state/m.room.name/`]: "rooms/state",
      "/_matrix/client/v3/join/!a%3Ab.org?via=b.org": "join",
      "/_matrix/client/v3/keys/upload": "keys/upload",
      "/_matrix/client/unstable/org.matrix.msc3814/keys/query": "keys/query",
      "/_matrix/client/v3/sendToDevice/m.room.encrypted/t1": "sendToDevice",
      "/_matrix/client/v3/profile/@a%3Ab.org/key": "profile",
      "/_matrix/client/v3/capabilities": "capabilities",
      "/_matrix/client/v3/anything": "other",
    };
    for (const [endpoint, name] of Object.entries(named)) assert.equal(nameEndpoint(endpoint), name, endpoint);
  });

  it("are a closed set, whatever is asked for", () => {
    const segment = fc.oneof(fc.constantFrom("rooms", "send", "keys", "state", "v3", "join", "profile"), fc.string());
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 7 }), (segments) => {
        const endpoint = ["/_matrix/client/v3", ...segments.map(encodeURIComponent)].join("/");
        return endpointNames.includes(nameEndpoint(endpoint));
      }),
    );
  });
});
