// Verification with emoji, as two people do it with their devices in hand.

import assert from "node:assert/strict";
import { ClientEvent } from "matrix-js-sdk";
import { CryptoEvent, VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

// asked is the next verification request that reaches the device.
export function asked(device) {
    return promised(device, "a verification request", (done) => device.client.once(CryptoEvent.VerificationRequestReceived, done));
}

// compareEmoji goes on from a request that one device made and the other got, to
// where both have confirmed that they see the same.
export async function compareEmoji(asking, request, answering, received) {
    const within = (device, what, promise) => promised(device, what, (done, fails) => promise.then(done, fails));
    await received.accept();
    await reaches(asking, request, "accepted", (r) => r.phase === VerificationPhase.Ready);
    const verifier = await request.startVerification("m.sas.v1");
    await reaches(answering, received, "started", (r) => r.verifier !== undefined);
    const sides = [[asking, request, verifier], [answering, received, received.verifier]];
    const shown = sides.map(([device, , v]) => showing(device, v));
    const verified = sides.map(([device, , v]) => within(device, "the other's confirmation", v.verify()));
    const [one, other] = await Promise.race([Promise.all(shown), Promise.all(verified)]);
    assert.equal(one.sas.emoji.length, 7);
    assert.deepEqual(one.sas, other.sas);
    await Promise.all([one.confirm(), other.confirm()]);
    await Promise.all(verified);
    for (const [device, r] of sides) await reaches(device, r, "done", () => r.phase === VerificationPhase.Done);
}

// compareWithStranger is that with a device which accepts by itself, and which
// names its emoji in its own case. It has to be the first to confirm: otherwise
// mautrix-go takes its own master key for the other's.
export async function compareWithStranger(asking, request, stranger) {
    await reaches(asking, request, "accepted", (r) => r.phase === VerificationPhase.Ready);
    const verifier = await request.startVerification("m.sas.v1");
    const mine = showing(asking, verifier);
    const verified = promised(asking, "the other's confirmation", (done, fails) => verifier.verify().then(done, fails));
    const [shown, names] = await Promise.race([Promise.all([mine, stranger.emoji()]), verified]);
    const lower = (list) => list.map((name) => name.toLowerCase());
    assert.deepEqual(lower(names), lower(shown.sas.emoji.map(([, name]) => name)));
    // What the SDK sends in answer to a confirmation can overtake its own, if that
    // is on its way: so that is not sent before it has the other's.
    const confirmed = promised(asking, "the other's MAC", (done) => {
        asking.client.on(ClientEvent.ToDeviceEvent, (e) => e.getType() === "m.key.verification.mac" && done());
    });
    await stranger.confirms();
    await confirmed;
    await shown.confirm();
    await Promise.all([verified, stranger.verifies()]);
    await reaches(asking, request, "done", (r) => r.phase === VerificationPhase.Done);
}

function showing(device, verifier) {
    return promised(device, "emoji", (done) => {
        const shown = verifier.getShowSasCallbacks();
        if (shown) done(shown);
        else verifier.once(VerifierEvent.ShowSas, done);
    });
}

function reaches(device, request, phase, condition) {
    return promised(device, `a verification that is ${phase}`, (done) => {
        const look = () => {
            if (!condition(request)) return;
            request.off(VerificationRequestEvent.Change, look);
            done();
        };
        request.on(VerificationRequestEvent.Change, look);
        look();
    });
}

function promised(device, what, executor) {
    return new Promise((resolve, reject) => {
        const deadline = setTimeout(() => reject(new Error(`${device.who} waited ${device.patience} ms for ${what}`)), device.patience);
        const ends = (how) => (value) => {
            clearTimeout(deadline);
            how(value);
        };
        executor(ends(resolve), ends(reject));
    });
}
