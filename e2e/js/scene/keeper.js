// A keeper is a device that keeps secrets: it encrypts and decrypts with the
// SDK's Rust crypto, held in memory. A new keeper knows nothing but its login.

import assert from "node:assert/strict";
import { CryptoEvent, DecryptionFailureCode } from "matrix-js-sdk/lib/crypto-api/index.js";
import { Device } from "./device.js";
import { agree, ask } from "./word.js";

const megolm = { algorithm: "m.megolm.v1.aes-sha2" };

// keeper logs the user in on a device that encrypts.
export function keeper(user, name, options = {}) {
    return user.logsIn(name, options, Keeper);
}

export class Keeper extends Device {
    constructor(...args) {
        super(...args);
        this.patience = 30_000;
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
        await this.gathers(room, ...others);
        return room;
    }

    // secures gives the user cross-signing keys, a recovery key, and with that
    // secret storage and a key backup.
    async secures() {
        this.user.recovery = await this.crypto.createRecoveryKeyFromPassphrase();
        await this.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: (request) => this.authorizes(request) });
        await this.crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => this.user.recovery, setupNewKeyBackup: true });
        assert.ok(await this.crypto.isCrossSigningReady(), `${this.who} cannot cross-sign`);
        assert.ok(await this.crypto.isSecretStorageReady(), `${this.who} has no secret storage`);
    }

    // authorizes makes a request, with the password if that is asked for.
    async authorizes(request) {
        try {
            return await request(null);
        } catch (e) {
            if (e.httpStatus !== 401 || !e.data?.session) throw e;
            const identifier = { type: "m.id.user", user: this.user.id };
            return request({ type: "m.login.password", identifier, password: this.user.password, session: e.data.session });
        }
    }

    // signsItself makes this a device that others trust, with what is in secret
    // storage. The SDK has to have the user's public keys for that.
    async signsItself() {
        assert.ok(await this.crypto.userHasCrossSigningKeys(this.user.id, true), `${this.who} finds no cross-signing keys`);
        await this.crypto.bootstrapCrossSigning({});
    }

    // recovers makes this a device of the user that others trust, with what was
    // in the key backup. It says how many keys there were.
    async recovers() {
        await this.signsItself();
        await this.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        await this.crypto.checkKeyBackupAndEnable();
        return (await this.crypto.restoreKeyBackup()).imported;
    }

    // backsUp waits until the backup has this many keys. The SDK puts off what it
    // has to add by up to ten seconds.
    async backsUp(count) {
        const backup = async () => (await ask(this, "room_keys/version")).body;
        await this.untilAnswer(`${count} keys in the backup`, [CryptoEvent.KeyBackupSessionsRemaining], async () => {
            const { count: kept } = await backup();
            return kept === count ? "" : `there are ${kept}`;
        });
    }

    // untilAnswer waits until there is nothing left to complain about, where that
    // has to be asked for: whenever one of the events has been heard.
    async untilAnswer(what, events, complaint) {
        let last;
        const look = async () => {
            last = await complaint();
            this.wakesWaiters();
        };
        for (const event of events) this.client.on(event, look);
        await look();
        await this.untilNothing(what, () => last);
        for (const event of events) this.client.off(event, look);
    }

    // knownDevices are the IDs of a user's devices, as this device has heard.
    async knownDevices(user) {
        const devices = await this.crypto.getUserDeviceInfo([user.id]);
        return [...(devices.get(user.id)?.keys() ?? [])].sort();
    }

    // seesDevices waits until these are all the devices of a user.
    async seesDevices(user, ...devices) {
        const wanted = devices.map((d) => d.login.device_id).sort().join();
        await this.untilAnswer(`the devices of ${user.name}`, [CryptoEvent.DevicesUpdated], async () => {
            const known = (await this.knownDevices(user)).join();
            return known === wanted ? "" : `it knows ${known}, not ${wanted}`;
        });
    }

    // trusts waits until a device of a user is signed by that user, whom this one
    // has verified or is.
    async trusts(device) {
        const news = [CryptoEvent.DevicesUpdated, CryptoEvent.UserTrustStatusChanged];
        await this.untilAnswer(`trust in ${device.who}`, news, async () => {
            const status = await this.crypto.getDeviceVerificationStatus(device.user.id, device.login.device_id);
            return status?.crossSigningVerified ? "" : JSON.stringify(status);
        });
    }

    // discards has a new key made for what is said next in a room.
    discards(room) {
        return this.crypto.forceDiscardSession(room);
    }

    // text is what the device reads in an event, if it can.
    text(room, event) {
        const e = this.find(room, event);
        this.#opens(e);
        return e?.isEncrypted() && !e.isDecryptionFailure() && !e.isBeingDecrypted() ? e.getContent().body : undefined;
    }

    // opens deciphers an event that the SDK leaves alone until somebody looks at it.
    #opens(e) {
        if (e?.shouldAttemptDecryption() && !e.isBeingDecrypted()) this.client.decryptEventIfNeeded(e);
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
        const events = this.events(room).filter((e) => e.isEncrypted());
        for (const e of events) this.#opens(e);
        return events
            .filter((e) => e.isDecryptionFailure() || e.shouldAttemptDecryption() || e.isBeingDecrypted())
            .map((e) => `${e.getId()} of ${e.getSender()}: ${e.decryptionFailureReason ?? "not tried"}`);
    }
}

// sliding are the options of a device that uses sliding sync: one list of all
// rooms, which asks for all there is of them.
const all = { ranges: [[0, 99]], required_state: [["*", "*"]], timeline_limit: 50 };
export const sliding = { slides: { lists: { all }, room: {}, patience: 20_000 } };

// slider is a keeper that uses sliding sync.
export function slider(user, name, options = {}) {
    return keeper(user, name, { ...options, ...sliding });
}

// everybodyReads is the end of a scene in an encrypted room: all devices agree
// with the server, and each deciphers all that it has of the room, but for what
// was said before its user was there.
export async function everybodyReads(room, ...devices) {
    await agree(room, ...devices);
    for (const device of devices) {
        await device.untilNothing(`all of ${room} deciphered`, () =>
            device.secrecy(room).filter((s) => !s.endsWith(DecryptionFailureCode.HISTORICAL_MESSAGE_USER_NOT_JOINED)).join("\n"));
        assert.ok(device.events(room).some((e) => e.isEncrypted()), `${device.who} has nothing encrypted`);
    }
}
