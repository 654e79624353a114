"""matrix-nio with libolm as a peer (see test/support/peers/peerWire.ts): an encryption that shares no line of code with the bot's.

Its device is signed by nobody, and it trusts nobody's: keys go to all devices. It is used as its documentation says; nio itself
does not try again what it could not decrypt, so this does when a key comes.
"""

import asyncio
import json
import sys

from nio import (
    AsyncClient,
    AsyncClientConfig,
    BadEvent,
    ErrorResponse,
    Event,
    MegolmEvent,
    RoomKeyEvent,
    ShareGroupSessionResponse,
    UnknownBadEvent,
)
from nio.exceptions import EncryptionError

LINE_LIMIT = 1 << 20
TIMELINE = {"room": {"timeline": {"limit": 100}}}


class Client(AsyncClient):
    """Room keys go out as usual, or are kept back until they are let go."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.held = None

    async def _send(self, response_class, method, path, data=None, response_data=None, **more):
        if self.held is not None and response_class is ShareGroupSessionResponse:
            self.held.append((response_class, method, path, data, response_data))
            response = ShareGroupSessionResponse(*response_data)
            await self.receive_response(response)
            return response
        return await super()._send(response_class, method, path, data, response_data=response_data, **more)


class Peer:
    def __init__(self, account):
        config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
        self.client = Client(account["homeserver"], account["userId"], account["deviceId"], account["store"], config)
        self.client.restore_login(account["userId"], account["deviceId"], account["accessToken"])
        self.change = asyncio.Event()
        self.syncing = None
        self.unread = {}

    async def start(self):
        client = self.client
        client.add_event_callback(self.on_event, (Event, BadEvent, UnknownBadEvent))
        client.add_to_device_callback(self.on_room_key, RoomKeyEvent)
        client.add_response_callback(self.on_response)
        await checked(client.sync(timeout=0, full_state=True, sync_filter=TIMELINE))
        if client.should_upload_keys:
            await checked(client.keys_upload())
        if client.should_query_keys:
            await checked(client.keys_query())
        self.syncing = asyncio.create_task(self.follow())

    async def follow(self):
        try:
            await self.client.sync_forever(timeout=30_000, sync_filter=TIMELINE)
        except Exception as error:
            # Nothing comes any more: waiting would be in vain.
            sys.exit(f"the sync ended: {error!r}")

    async def create_room(self, order):
        encryption = {
            "type": "m.room.encryption",
            "state_key": "",
            "content": {"algorithm": "m.megolm.v1.aes-sha2", **order["encryption"]},
        }
        room = await checked(self.client.room_create(invite=order["invite"], initial_state=[encryption]))
        await self.known(room.room_id)
        return room.room_id

    async def join(self, order):
        await checked(self.client.join(order["roomId"]))
        await self.known(order["roomId"])

    async def known(self, room_id):
        def is_known():
            room = self.client.rooms.get(room_id)
            return room is not None and room.encrypted and self.client.user_id in room.users

        await self.until(is_known)

    async def wait_for_member(self, order):
        def has_joined():
            room = self.client.rooms.get(order["roomId"])
            user = None if room is None else room.users.get(order["userId"])
            return user is not None and not user.invited

        await self.until(has_joined)

    async def wait_for_device(self, order):
        def is_known():
            devices = self.client.device_store.active_user_devices(order["userId"])
            return any(device.id == order["deviceId"] for device in devices)

        await self.until(is_known)

    async def send(self, order):
        sent = await checked(
            self.client.room_send(order["roomId"], order["type"], order["content"], ignore_unverified_devices=True)
        )
        return sent.event_id

    async def hold_keys(self, order):
        self.client.invalidate_outbound_session(order["roomId"])
        self.client.held = []

    async def release_keys(self, _order):
        held, self.client.held = self.client.held or [], None
        for request in held:
            await checked(self.client._send(*request))

    async def stop(self, _order):
        self.syncing.cancel()
        await asyncio.gather(self.syncing, return_exceptions=True)
        await self.client.close()

    def on_event(self, room, event):
        if isinstance(event, MegolmEvent):
            self.unread[event.event_id] = event
        self.tell(room.room_id, event)

    def on_room_key(self, _event):
        for event_id, event in list(self.unread.items()):
            try:
                clear = self.client.decrypt_event(event)
            except EncryptionError:
                continue
            del self.unread[event_id]
            self.tell(event.room_id, clear)

    async def on_response(self, _response):
        self.change.set()

    def tell(self, room_id, event):
        unread = isinstance(event, MegolmEvent)
        clear = getattr(event, "decrypted", False)
        say(
            {
                "seen": {
                    "roomId": room_id,
                    "eventId": event.event_id,
                    "sender": event.sender,
                    "type": event.source["type"],
                    "content": event.source["content"],
                    "encrypted": unread or clear,
                    "undecryptable": "no session" if unread else None,
                    "senderDevice": self.sender_device(event) if clear else None,
                    "sessionId": event.session_id if unread or clear else None,
                    "shield": None,
                }
            }
        )

    def sender_device(self, event):
        if event.sender_key == self.client.olm.account.identity_keys["curve25519"]:
            return self.client.device_id
        device = self.client.device_store.device_from_sender_key(event.sender, event.sender_key)
        return None if device is None else device.id

    async def until(self, probe):
        """Asks again after every answer of the homeserver. The test is who loses patience."""
        while not probe():
            self.change.clear()
            await self.change.wait()


async def checked(request):
    response = await request
    if isinstance(response, ErrorResponse):
        raise RuntimeError(f"the homeserver refused: {response}")
    return response


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def obey(peer, line):
    orders = {
        "createRoom": peer.create_room,
        "join": peer.join,
        "waitForMember": peer.wait_for_member,
        "waitForDevice": peer.wait_for_device,
        "send": peer.send,
        "holdKeys": peer.hold_keys,
        "releaseKeys": peer.release_keys,
        "stop": peer.stop,
    }
    try:
        result = await (peer.start() if line["do"] == "start" else orders[line["do"]](line))
        say({"answer": line["id"], "result": result})
    except Exception as error:
        say({"answer": line["id"], "error": repr(error)})


async def main():
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = None
    at_work = set()
    while text := await reader.readline():
        line = json.loads(text)
        peer = peer or Peer(line)
        if line["do"] == "stop":
            await obey(peer, line)
            return
        task = asyncio.create_task(obey(peer, line))
        at_work.add(task)
        task.add_done_callback(at_work.discard)
    sys.exit(1)


asyncio.run(main())
