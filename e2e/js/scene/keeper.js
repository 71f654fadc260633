// A keeper is a device that keeps secrets: it encrypts and decrypts with the
// SDK's Rust crypto, held in memory. A new keeper knows nothing but its login.

import assert from "node:assert/strict";
import { CryptoEvent, DecryptionFailureCode } from "matrix-js-sdk/lib/crypto-api/index.js";
import { Device } from "./device.js";

const megolm = { algorithm: "m.megolm.v1.aes-sha2" };

// keeper logs the user in on a device that encrypts.
export function keeper(user, name, options = {}) {
    return user.logsIn(name, options, Keeper);
}

export class Keeper extends Device {
    constructor(...args) {
        super(...args);
        this.patience = 30_000;
        for (const what of [CryptoEvent.UserTrustStatusChanged, CryptoEvent.DevicesUpdated, CryptoEvent.KeyBackupStatus]) {
            this.client.on(what, () => this.wakesWaiters());
        }
    }

    // The user can always say the recovery key, once there is one.
    clientOptions() {
        const key = async ({ keys }) => (this.user.recovery ? [Object.keys(keys)[0], this.user.recovery.privateKey] : null);
        return { cryptoCallbacks: { getSecretStorageKey: key } };
    }

    async wakesUp() {
        if (!this.client.getCrypto()) await this.client.initRustCrypto({ useIndexedDB: false });
        await super.wakesUp();
    }

    get crypto() {
        return this.client.getCrypto();
    }

    // createsSecret makes a private room in which everything is encrypted, and
    // has the others' devices join it.
    async createsSecret(name, ...others) {
        const encryption = { type: "m.room.encryption", state_key: "", content: megolm };
        const room = await this.creates({ name, preset: "private_chat", initial_state: [encryption] });
        for (const other of others) {
            await this.invites(room, other.user);
            await other.joins(room);
            await this.seesMember(room, other.user, "join");
        }
        return room;
    }

    // text is what the device reads in an event, if it can.
    text(room, event) {
        const e = this.find(room, event);
        return e?.isEncrypted() && !e.isDecryptionFailure() && !e.isBeingDecrypted() ? e.getContent().body : undefined;
    }

    // deciphers waits until the device reads this in the event, which must have
    // been encrypted.
    deciphers(room, event, body) {
        return this.untilNothing(`"${body}" in ${event}`, () => {
            if (this.text(room, event) === body) return "";
            const e = this.find(room, event);
            return e ? `it reads ${JSON.stringify(e.getContent())} in a ${e.getWireType()}, failure ${e.decryptionFailureReason}` : "it has no such event";
        });
    }

    // secrecy tells why an event of the room remains undeciphered, by event.
    secrecy(room) {
        return this.events(room)
            .filter((e) => e.isEncrypted() && (e.isDecryptionFailure() || e.isBeingDecrypted()))
            .map((e) => `${e.getId()} of ${e.getSender()}: ${e.decryptionFailureReason ?? "not tried"}`);
    }
}

// everybodyReads is the law of encrypted rooms: each device deciphers all that
// it has of the room, but for what was said before it was there.
export async function everybodyReads(room, ...devices) {
    const before = [DecryptionFailureCode.HISTORICAL_MESSAGE_USER_NOT_JOINED];
    for (const device of devices) {
        await device.untilNothing(`all of ${room} deciphered`, () =>
            device.secrecy(room).filter((s) => !before.some((b) => s.endsWith(b))).join("\n"));
        assert.ok(device.events(room).some((e) => e.isEncrypted()), `${device.who} has nothing encrypted`);
    }
}
