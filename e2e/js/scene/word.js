// What the server says of a room when it is asked without an SDK, and the law
// of this suite: what a device has made of its syncs is the same.

import assert from "node:assert/strict";
import { ReceiptType } from "matrix-js-sdk";

// ask is a plain GET with the device's token.
export async function ask(device, path, query = {}) {
    const answer = await fetch(`${device.user.url}/_matrix/client/v3/${path}?${new URLSearchParams(query)}`, {
        headers: { Authorization: `Bearer ${device.login.access_token}` },
    });
    return { status: answer.status, body: await answer.json() };
}

async function get(device, path, query) {
    const { status, body } = await ask(device, path, query);
    assert.equal(status, 200, `${device.who}: GET ${path}: ${JSON.stringify(body)}`);
    return body;
}

const inRoom = (room, path) => `rooms/${encodeURIComponent(room)}/${path}`;
const key = (e) => `${e.type} ${e.state_key}`;

// word asks for everything.
async function word(device, room) {
    const state = await get(device, inRoom(room, "state"));
    const { chunk: members } = await get(device, inRoom(room, "members"));
    const messages = await allMessages(device, room);
    const [part, sync] = await plainSync(device, room);
    return { state: byKey(state), members: byKey(members), messages, part, sync };
}

function byKey(events) {
    const all = new Map(events.map((e) => [key(e), e]));
    assert.equal(all.size, events.length, `a state has a key twice: ${events.map(key).sort()}`);
    return all;
}

// allMessages pages back through /messages from its end to its beginning, and
// returns the events, oldest first.
export async function allMessages(device, room) {
    const all = [];
    let from = {};
    for (let page = 0; ; page++) {
        assert.ok(page < 1000, `${device.who}: /messages of ${room} does not come to an end`);
        const { chunk, end } = await get(device, inRoom(room, "messages"), { dir: "b", limit: 7, ...from });
        all.push(...chunk);
        if (end === undefined) return all.reverse();
        from = { from: end };
    }
}

// plainSync is the room in a sync from the beginning, with the part that has it.
export async function plainSync(device, room) {
    const lazy = device.options.lazyLoadMembers === true;
    const filter = { room: { include_leave: true, state: { lazy_load_members: lazy } } };
    const sync = await get(device, "sync", { timeout: 0, filter: JSON.stringify(filter) });
    const parts = Object.entries(sync.rooms ?? {}).filter(([, rooms]) => rooms[room]);
    assert.ok(parts.length <= 1, `${device.who}: a sync has ${room} in ${parts.map(([part]) => part)}`);
    return parts.length ? [parts[0][0], parts[0][1][room]] : [undefined, {}];
}

// agree is the end of a scene: nothing happens any more, and soon all devices
// have of the room what the server says.
export async function agree(room, ...devices) {
    for (const device of devices) {
        const said = await word(device, room);
        await device.untilNothing(`agreement with the server about ${room}`, () =>
            Object.entries(comparisons)
                .map(([what, compare]) => difference(what, ...compare(device, room, said)))
                .filter((c) => c !== "")
                .join("\n"),
        );
    }
}

function difference(what, device, server) {
    try {
        assert.deepStrictEqual(device, server);
        return "";
    } catch (e) {
        return `${what}: the device (+) and the server (-) differ: ${e.message}`;
    }
}

// Each comparison gives what the device has and what the server says.
const comparisons = {
    membership: (d, room, { part }) => {
        const mine = d.room(room)?.getMyMembership();
        return [mine === "ban" ? "leave" : mine, part];
    },

    name: (d, room, { state }) => {
        const named = state.get("m.room.name ")?.content.name;
        return [named && d.room(room)?.name, named];
    },

    // A device that loads members lazily may have fewer of them. Where it came by
    // a state through the stripped state of an invite it has no ID, and it keeps
    // that if a sync shows it the event in a timeline that it had already.
    state: (d, room, { state }) => {
        const device = new Map();
        for (const events of d.room(room)?.currentState.events.values() ?? []) {
            for (const e of events.values()) {
                const k = `${e.getType()} ${e.getStateKey()}`;
                device.set(k, [e.getId() ?? state.get(k)?.event_id, nameless(e.getType(), e.getContent())]);
            }
        }
        const server = new Map();
        for (const [k, e] of state) {
            if (e.type !== "m.room.member" || device.has(k) || !lazily(d, room)) server.set(k, [e.event_id, nameless(e.type, e.content)]);
        }
        return [sorted(device), sorted(server)];
    },

    members: (d, room, { members, state }) => {
        const known = d.room(room)?.currentState.members ?? {};
        const device = Object.values(known).map((m) => [m.userId, m.membership, isGone(m.membership) || m.rawDisplayName, m.powerLevel]);
        const server = [...members.values()]
            .filter((e) => known[e.state_key] || !lazily(d, room))
            .map(({ state_key: user, content: { membership, displayname } }) => [
                user, membership, isGone(membership) || displayname || user, power(state, user),
            ]);
        return [device.sort(), server.sort()];
    },

    "members in /members and in /state": (d, room, { members, state }) => [
        [...members].map(([k, e]) => [k, e.event_id]).sort(),
        [...state].filter(([, e]) => e.type === "m.room.member").map(([k, e]) => [k, e.event_id]).sort(),
    ],

    // Of each event its content too: a redaction has emptied it on both sides.
    // The device has all events, if nothing lies before those it has.
    timeline: (d, room, { messages }) => {
        const device = d.events(room);
        const all = d.timelines(room)[0]?.getPaginationToken("b") === null;
        const server = all ? messages : messages.slice(-device.length);
        return [
            device.map((e) => [e.getId(), e.getWireType(), nameless(e.getWireType(), e.getWireContent()), e.isRedacted()]),
            server.map((e) => [e.event_id, e.type, nameless(e.type, e.content), e.unsigned?.redacted_because !== undefined]),
        ];
    },

    // The SDK may take a room as read in which its own user spoke last, and counts
    // itself where all is encrypted.
    "unread counts": joinedOnly((d, room, { sync, state }) => {
        if (state.has("m.room.encryption ")) return [0, 0];
        const [total, highlights] = d.unread(room);
        if (total === 0 && highlights === 0 && d.events(room).at(-1)?.getSender() === d.user.id) return [0, 0];
        const { notification_count = 0, highlight_count = 0 } = sync.unread_notifications ?? {};
        return [[total, highlights], [notification_count, highlight_count]];
    }),

    "numbers of members": joinedOnly((d, room, { members }) => {
        const count = (membership) => [...members.values()].filter((e) => e.content.membership === membership).length;
        const known = d.room(room);
        return [[known?.getJoinedMemberCount(), known?.getInvitedMemberCount()], [count("join"), count("invite")]];
    }),

    receipts: joinedOnly((d, room, { sync, members }) => {
        const kinds = [ReceiptType.Read, ReceiptType.ReadPrivate];
        const device = new Map();
        for (const e of members.values()) {
            for (const kind of kinds) {
                const receipt = d.room(room)?.getReadReceiptForUserId(e.state_key, true, kind);
                if (receipt) device.set(`${e.state_key} ${kind}`, receipt.eventId);
            }
        }
        const server = new Map();
        for (const e of sync.ephemeral?.events.filter((e) => e.type === "m.receipt") ?? []) {
            for (const [event, byKind] of Object.entries(e.content)) {
                for (const [kind, byUser] of Object.entries(byKind)) {
                    for (const user of Object.keys(byUser)) server.set(`${user} ${kind}`, event);
                }
            }
        }
        return [sorted(device), sorted(server)];
    }),

    "account data": joinedOnly((d, room, { sync }) => [
        sorted(new Map([...(d.room(room)?.accountData ?? [])].map(([type, e]) => [type, e.getContent()]))),
        sorted(new Map((sync.account_data?.events ?? []).map((e) => [e.type, e.content]))),
    ]),
};

// joinedOnly is for what a sync says of joined rooms only.
function joinedOnly(compare) {
    return (device, room, said) => (said.part === "join" ? compare(device, room, said) : [0, 0]);
}

const isGone = (membership) => membership === "leave" || membership === "ban";

// nameless leaves the name out of the membership of those who are gone: the SDK
// goes on to call them by the name that they had.
function nameless(type, content) {
    if (type !== "m.room.member" || !isGone(content.membership)) return content;
    const { displayname, avatar_url, ...rest } = content;
    return rest;
}

// lazily tells whether members may be missing from what the device knows.
function lazily(device, room) {
    return device.options.lazyLoadMembers === true && device.room(room)?.membersLoaded() !== true;
}

const sorted = (map) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

// power is a member's power level. From room version 12 on, creators have more
// than any number.
function power(state, user) {
    const create = state.get("m.room.create ");
    const version = Number(create.content.room_version ?? "1");
    if (version >= 12 && [create.sender, ...(create.content.additional_creators ?? [])].includes(user)) return Infinity;
    const levels = state.get("m.room.power_levels ")?.content;
    if (!levels) return create.sender === user ? 100 : 0;
    return levels.users?.[user] ?? levels.users_default ?? 0;
}
