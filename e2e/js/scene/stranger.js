// A stranger has another SDK: a device made of mautrix-go, in a process of its
// own, which e2e/go/mautrix-device says more of.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/recovery-key.js";

const program = process.env.PARLEY_E2E_MAUTRIX;

// withoutStrangers tells why scenes with a stranger cannot be played, if so.
export const withoutStrangers = program ? false : "PARLEY_E2E_MAUTRIX does not name the program";

// stranger logs the user in on such a device.
export async function stranger(user) {
    const process = spawn(program, [user.url, user.username, user.password], { stdio: ["pipe", "pipe", "inherit"] });
    user.t.after(() => process.stdin.end());
    const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
    const s = new Stranger(user, process, lines);
    s.login = await s.hears();
    assert.equal(s.login.user_id, user.id);
    return s;
}

class Stranger {
    constructor(user, process, lines) {
        Object.assign(this, { user, process, lines, who: `${user.name}'s mautrix-go`, before: Promise.resolve() });
    }

    async hears(to = "") {
        const { value, done } = await this.lines.next();
        assert.ok(!done, `${this.who} has ended`);
        const answer = JSON.parse(value);
        assert.equal(answer.error, undefined, `${this.who}: ${to}: ${answer.error}`);
        return answer;
    }

    // does one thing after the other.
    does(what, more = {}) {
        const answer = this.before.then(() => {
            const order = JSON.stringify({ do: what, ...more });
            this.process.stdin.write(`${order}\n`);
            return this.hears(order);
        });
        this.before = answer.catch(() => {});
        return answer;
    }

    joins(room) {
        return this.does("join", { room });
    }

    async says(room, body) {
        return (await this.does("say", { room, body })).event_id;
    }

    // deciphers waits until the device reads this in the event.
    async deciphers(room, event, body) {
        assert.equal((await this.does("read", { room, event, body })).body, body, `what ${this.who} reads in ${event}`);
    }

    // discards has a new key made for what is said next in a room.
    discards(room) {
        return this.does("discard", { room });
    }

    // seesDevices waits until these are all the devices of a user.
    async seesDevices(user, ...devices) {
        const wanted = devices.map((d) => d.login.device_id).sort();
        await this.does("see devices", { user: user.id, devices: wanted });
    }

    // secures gives the user cross-signing keys, a recovery key, and with that
    // secret storage.
    async secures() {
        const { recovery_key: encodedPrivateKey } = await this.does("secure", { body: this.user.password });
        this.user.recovery = { encodedPrivateKey, privateKey: decodeRecoveryKey(encodedPrivateKey) };
    }

    // backsUp makes a key backup, of so many keys.
    async backsUp(count) {
        assert.equal((await this.does("back up", this.#recovery())).count, count);
    }

    // recovers makes this a device of the user that others trust, with what was
    // in the key backup. It says how many keys there were.
    async recovers() {
        return (await this.does("recover", this.#recovery())).count;
    }

    #recovery() {
        return { body: this.user.recovery.encodedPrivateKey };
    }

    // emoji are the names of those that are to be compared.
    async emoji() {
        return (await this.does("emoji")).emoji;
    }

    confirms() {
        return this.does("confirm");
    }

    // verifies waits for the end of what both have confirmed.
    verifies() {
        return this.does("verify");
    }
}
