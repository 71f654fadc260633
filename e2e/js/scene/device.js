// A device is an SDK client that has logged in and syncs. What it knows is the
// SDK's model of the rooms; what is here makes it act and wait.

import assert from "node:assert/strict";
import {
    ClientEvent, Direction, EventType, MatrixEventEvent, MemoryStore, MsgType, PendingEventOrdering, ReceiptType, RelationType,
    RoomEvent, SyncState, createClient,
} from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import { quiet, watchful } from "./watch.js";

export class Device {
    constructor(user, name, login, options) {
        Object.assign(this, { user, name, login, options, t: user.t, who: `${user.name}'s ${name}`, syncs: 0 });
        this.failed = null; // what the SDK called an error
        this.waiting = new Set(); // called after each sync
        this.patience = 10_000; // how long a condition may take to become true, in milliseconds
        this.client = createClient({
            baseUrl: user.url,
            userId: login.user_id,
            deviceId: login.device_id,
            accessToken: login.access_token,
            store: new MemoryStore(),
            timelineSupport: true,
            logger: quiet((e) => this.fails(e)),
            fetchFn: watchful(this.t),
            ...this.clientOptions(),
        });
        this.client.on(ClientEvent.Sync, (state, before, data) => this.#synced(state, data));
        this.client.on(ClientEvent.SyncUnexpectedError, (e) => this.fails(e));
        for (const what of [RoomEvent.LocalEchoUpdated, MatrixEventEvent.Decrypted]) this.client.on(what, () => this.wakesWaiters());
        this.t.after(() => {
            this.fallsAsleep();
            assert.ok(!this.t.faults, "the server had faults");
        });
    }

    // clientOptions are those of createClient that a kind of device adds.
    clientOptions() {
        return {};
    }

    // wakesUp starts the syncing, where it was left if there was any.
    async wakesUp() {
        const before = this.syncs;
        this.awake = true;
        const { slides, ...options } = this.options;
        if (slides) {
            // slides has the lists, what is wanted of rooms that are subscribed to, and
            // for how many milliseconds a request waits.
            this.sliding = new SlidingSync(this.user.url, new Map(Object.entries(slides.lists)), slides.room, this.client, slides.patience ?? 5000);
            options.slidingSync = this.sliding;
        }
        await this.client.startClient({ initialSyncLimit: 20, pendingEventOrdering: PendingEventOrdering.Detached, ...options });
        await this.until("a sync", () => this.syncs > before);
    }

    // fallsAsleep ends the syncing; the device keeps what it knows.
    fallsAsleep() {
        this.awake = false;
        this.client.stopClient();
    }

    // startsAfresh is the same device with its memory lost: it knows its access
    // token, and syncs from the beginning.
    startsAfresh() {
        return this.user.uses(this.login, `${this.name} started afresh`, this.options, this.constructor);
    }

    // bears says that from now on its server may go and come back. The SDK asks
    // again after some seconds, as it does for people.
    bears() {
        this.bearing = true;
    }

    fails(e) {
        if (!this.awake || this.bearing) return;
        this.failed ??= e;
        this.wakesWaiters();
    }

    #synced(state, data) {
        if (state === SyncState.Syncing) this.syncs++;
        if (state === SyncState.Error || state === SyncState.Reconnecting) this.fails(data?.error ?? new Error(state));
        this.wakesWaiters();
    }

    wakesWaiters() {
        for (const look of this.waiting) look();
    }

    // until waits for a condition, which is asked after every sync.
    until(what, condition) {
        return this.untilNothing(what, () => (condition() ? "" : "it did not happen"));
    }

    // untilNothing waits until there is nothing left to complain about.
    untilNothing(what, complaint) {
        return new Promise((resolve, reject) => {
            const ends = (how, value) => {
                clearTimeout(deadline);
                this.waiting.delete(look);
                how(value);
            };
            const look = () => {
                try {
                    const c = complaint();
                    if (c === "") ends(resolve);
                    else if (this.failed) ends(reject, new Error(`${this.who} waits for ${what}: ${c}`, { cause: this.failed }));
                } catch (e) {
                    ends(reject, e);
                }
            };
            const deadline = setTimeout(() => {
                let c;
                try {
                    c = complaint();
                } catch (e) {
                    c = String(e);
                }
                ends(reject, new Error(`${this.who} waited ${this.patience} ms for ${what}: ${c}\n${this.knows()}`));
            }, this.patience);
            this.waiting.add(look);
            look();
        });
    }

    // What it does. Each resolves when the server has answered; those that
    // change what the device itself syncs, when it has synced that.

    async creates(options) {
        const { room_id: room } = await this.client.createRoom(options);
        await this.seesItself(room, "join");
        return room;
    }

    // createsWith makes a private room and has the others' devices join it.
    async createsWith(name, ...others) {
        const room = await this.creates({ name, preset: "private_chat" });
        await this.gathers(room, ...others);
        return room;
    }

    // gathers has the others' devices join a room.
    async gathers(room, ...others) {
        for (const other of others) {
            await this.invites(room, other.user);
            await other.joins(room);
            await this.seesMember(room, other.user, "join");
        }
    }

    invites(room, user) {
        return this.client.invite(room, user.id);
    }

    async joins(room) {
        await this.client.joinRoom(room);
        await this.seesItself(room, "join");
    }

    async leaves(room) {
        await this.client.leave(room);
        await this.seesItself(room, "leave");
    }

    async says(room, body) {
        return this.sends(room, { msgtype: MsgType.Text, body });
    }

    async sends(room, content) {
        return (await this.client.sendMessage(room, content)).event_id;
    }

    async replies(room, to, body) {
        return this.sends(room, { msgtype: MsgType.Text, body, "m.relates_to": { "m.in_reply_to": { event_id: to } } });
    }

    async edits(room, which, body) {
        return this.sends(room, {
            msgtype: MsgType.Text,
            body: `* ${body}`,
            "m.new_content": { msgtype: MsgType.Text, body },
            "m.relates_to": { rel_type: RelationType.Replace, event_id: which },
        });
    }

    async reacts(room, to, key) {
        const content = { "m.relates_to": { rel_type: RelationType.Annotation, event_id: to, key } };
        return (await this.client.sendEvent(room, EventType.Reaction, content)).event_id;
    }

    async redacts(room, event, reason) {
        return (await this.client.redactEvent(room, event, undefined, { reason })).event_id;
    }

    async sets(room, type, content) {
        return (await this.client.sendStateEvent(room, type, content, "")).event_id;
    }

    async reads(room, upTo, receipt = ReceiptType.Read) {
        await this.client.sendReadReceipt(await this.event(room, upTo), receipt);
    }

    // paginates goes back by one page, and says whether there is more.
    async paginates(room, limit) {
        const [oldest] = this.timelines(room);
        if (oldest.getPaginationToken(Direction.Backward) === null) return false;
        return this.client.paginateEventTimeline(oldest, { backwards: true, limit });
    }

    async paginatesToTheBeginning(room, limit) {
        let pages = 1;
        for (; await this.paginates(room, limit); pages++) {
            assert.ok(pages < 1000, `${this.who} pages back without an end`);
        }
        return pages;
    }

    // What it knows. An undefined room is one that it has not heard of.

    room(room) {
        return this.client.getRoom(room) ?? undefined;
    }

    // timelines are those of the room that connect without a gap to the newest
    // events, oldest first.
    timelines(room) {
        const all = [];
        for (let t = this.room(room)?.getLiveTimeline(); t; t = t.getNeighbouringTimeline(Direction.Backward)) all.unshift(t);
        return all;
    }

    events(room) {
        return this.timelines(room).flatMap((t) => t.getEvents());
    }

    ids(room) {
        return this.events(room).map((e) => e.getId());
    }

    find(room, event) {
        return this.events(room).find((e) => e.getId() === event);
    }

    state(room, type, key = "") {
        return this.room(room)?.currentState.getStateEvents(type, key)?.getContent() ?? {};
    }

    unread(room) {
        const known = this.room(room);
        return [known?.getUnreadNotificationCount("total"), known?.getUnreadNotificationCount("highlight")];
    }

    read(room, user, receipt = ReceiptType.Read) {
        return this.room(room)?.getReadReceiptForUserId(user.id, true, receipt)?.eventId;
    }

    // What it waits for.

    sees(room, what, condition) {
        return this.until(what, () => this.room(room) !== undefined && condition(this.room(room)));
    }

    // seesItself waits until the device's user has a membership in the room.
    seesItself(room, membership) {
        return this.sees(room, `${membership} of itself`, (r) => r.getMyMembership() === membership);
    }

    seesMember(room, user, membership) {
        return this.sees(room, `${membership} of ${user.name}`, (r) => r.getMember(user.id)?.membership === membership);
    }

    // seesEvents waits for events in the timeline, in this order.
    seesEvents(room, ...events) {
        return this.until("events in the timeline, in order", () => {
            const wanted = new Set(events);
            const have = this.ids(room).filter((id) => wanted.has(id));
            return have.length === events.length && have.every((id, i) => id === events[i]);
        });
    }

    seesUnread(room, total, highlights) {
        return this.sees(room, `${total} unread, ${highlights} of them highlights`, () => {
            const [t, h] = this.unread(room);
            return t === total && h === highlights;
        });
    }

    seesRead(room, user, event, receipt) {
        return this.sees(room, `how far ${user.name} has read`, () => this.read(room, user, receipt) === event);
    }

    // event is an event that the device has in its timeline.
    async event(room, event) {
        await this.seesEvents(room, event);
        return this.find(room, event);
    }

    // knows is what a device knows, for the message of a test that failed.
    knows() {
        const lines = [`${this.who} has seen ${this.syncs} syncs, and of rooms:`];
        for (const room of this.client.getRooms()) {
            lines.push(`${room.roomId} (${room.getMyMembership()}) "${room.name}": unread ${this.unread(room.roomId)}`);
            for (const e of this.events(room.roomId)) {
                const content = JSON.stringify(e.getOriginalContent()).slice(0, 120);
                lines.push(`\t${e.getId()} ${e.getSender()} ${e.getType()} ${content}`);
            }
        }
        return lines.join("\n");
    }
}
