// Stopping and starting the servers that with-parley has started: 0 is the one
// at baseUrl, 1 the one at otherUrl.

import assert from "node:assert/strict";

const control = process.env.PARLEY_E2E_CONTROL;

// without tells why scenes with a second server cannot be played, if so.
export const without = control ? false : "the server at PARLEY_E2E_URL was not started for this, and there is no second one";

async function act(server, what) {
    const answer = await fetch(`${control}/${server}/${what}`, { method: "POST" });
    assert.equal(answer.status, 204, `${what} of server ${server}: ${answer.status} ${await answer.text()}`);
}

// ends is the end that an operator brings about, isKilled that of a crash.
export const ends = (server) => act(server, "down");
export const isKilled = (server) => act(server, "kill");
export const starts = (server) => act(server, "up");
