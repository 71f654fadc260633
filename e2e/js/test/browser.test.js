import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Browser } from "../scene/browser.js";
import { findChromium } from "../scene/chromium.js";
import { everybodyReads, keeper, sliding } from "../scene/keeper.js";
import { refusedRequests } from "../scene/routes.js";
import { baseUrl, newUser, otherUrl } from "../scene/user.js";

const chromium = await findChromium();

describe("in a browser", { concurrency: true, skip: chromium.without ?? false }, () => {
    const browser = new Browser();
    before(() => browser.starts(chromium));
    after(() => browser.ends());

    test("two pages talk in secret, and go on after they were loaded again", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
        const [tab, bobs] = [await browser.logsIn(alice, "tab"), await browser.logsIn(bob, "tab")];
        await tab.secures();
        const room = await tab.createsSecret("Secret", bobs);
        const hello = await tab.says(room, "hello");
        await bobs.deciphers(room, hello, "hello");
        const reply = await bobs.says(room, "hello to you");
        await tab.deciphers(room, reply, "hello to you");

        await tab.saves();
        await tab.reloads();
        assert.ok(new URL(tab.requests.find((url) => url.includes("/sync?"))).searchParams.has("since"), "it goes on where it was");
        const again = await bobs.says(room, "are you back?");
        for (const [event, body] of [[hello, "hello"], [reply, "hello to you"], [again, "are you back?"]]) await tab.deciphers(room, event, body);
        await bobs.deciphers(room, await tab.says(room, "I am"), "I am");
        for (const each of [tab, bobs]) await each.readsAll(room);
    });

    test("a page talks in secret over sliding sync with a client that is no page", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
        const [tab, phone] = [await browser.logsIn(alice, "tab", sliding), await keeper(bob, "phone")];
        const room = await phone.createsSecret("Secret", tab);
        const hello = await phone.says(room, "hello");
        await tab.deciphers(room, hello, "hello");
        await tab.reloads();
        for (const body of ["one", "two"]) await phone.deciphers(room, await tab.says(room, body), body);
        await tab.deciphers(room, hello, "hello");
        await everybodyReads(room, phone);
        await tab.readsAll(room);
    });

    test("an encrypted file is sent from one page to another", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
        const [tab, bobs] = [await browser.logsIn(alice, "tab"), await browser.logsIn(bob, "tab")];
        const room = await tab.createsSecret("Files", bobs);
        const text = "what nobody else may read\n".repeat(10_000);
        const sent = await tab.sendsFile(room, "secret.txt", text);
        await bobs.deciphers(room, sent, "secret.txt");
        for (const each of [tab, bobs]) assert.ok(await each.readsFile(room, sent) === text, `${each.user.name} reads another text`);
    });

    test("one page meets another by the code that it shows", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
        const [tab, bobs] = [await browser.logsIn(alice, "tab"), await browser.logsIn(bob, "tab")];
        await bobs.scansCode(await tab.showsCode());
        const message = { type: "hello" };
        const [there, here] = await Promise.all([bobs.meets(message), tab.meets()]);
        assert.deepEqual(here, there);
        assert.match(here.digits, /^[0-9]{2}$/);
    });

    test("a script sees every refusal, and not more than it may", async (t) => {
        const tab = await browser.opens(t);
        const requests = refusedRequests(baseUrl);
        assert.ok(requests.length > 150, `${requests.length} operations`);
        const answers = await tab.asks(...requests);
        assert.deepEqual(answers.filter(({ failed }) => failed), []);
        for (const { status, headers } of answers) {
            assert.ok(status < 500, `status ${status}`);
            assert.ok(headers["x-request-id"], "the ID of a request is hidden");
        }
        const [forbidden] = await tab.asks({ url: baseUrl, method: "GET", headers: { "X-Unheard-Of": "yes" } });
        assert.match(forbidden.failed, /Failed to fetch/);
        assert.match(tab.faults.pop(), /X-Unheard-Of is not allowed/i);
    });

    test("a script sees what is not there, not allowed, and too much", async (t) => {
        const [tab, alice] = [await browser.opens(t), await newUser(t, "alice")];
        const { login, client } = await alice.logsIn("phone");
        const { "m.upload.size": most } = await client.getMediaConfig(true);
        const headers = { Authorization: `Bearer ${login.access_token}`, "Content-Type": "application/json" };
        const expected = [
            ["GET", "client/v3/nothing/here", 0, 404, "M_UNRECOGNIZED"],
            ["DELETE", "client/v3/createRoom", 0, 405, "M_UNRECOGNIZED"],
            ["POST", "client/v3/createRoom", 20 << 20, 413, "M_TOO_LARGE"],
            ["POST", "media/v3/upload", most + 1, 413, "M_TOO_LARGE"],
        ];
        // Over HTTP/2 too, where an upload is refused otherwise: servers are named
        // after where they federate.
        for (const base of otherUrl ? [baseUrl, `https://${alice.id.replace(/^[^:]*:/, "")}`] : [baseUrl]) {
            const answers = await tab.asks(...expected.map(([method, path, size]) => ({ url: `${base}/_matrix/${path}`, method, headers, size })));
            for (const [i, [method, path, , status, code]] of expected.entries()) {
                assert.equal(answers[i].failed, undefined);
                assert.deepEqual([answers[i].status, JSON.parse(answers[i].body).errcode], [status, code], `${method} ${base} ${path}`);
            }
        }
    });

    test("a script sees how long it is to wait", async (t) => {
        const [tab, alice] = [await browser.opens(t), await newUser(t, "alice")];
        const phone = await alice.logsIn("phone");
        phone.fallsAsleep();
        const headers = { Authorization: `Bearer ${phone.login.access_token}` };
        const sync = (query) => `${baseUrl}/_matrix/client/v3/sync?${new URLSearchParams(query)}`;
        // More than any user may have waiting at once, until the scene ends.
        const enough = new AbortController();
        const waits = async (since) => {
            const answer = await fetch(sync({ ...since, timeout: 60_000 }), { headers, signal: enough.signal });
            if (answer.status === 200) await waits({ since: (await answer.json()).next_batch });
        };
        const waiting = Array.from({ length: 100 }, () => waits({}).catch(() => {}));
        for (let tries = 0, refused; !refused; tries++) {
            assert.ok(tries < 1000, "nothing is refused");
            const [{ status, headers: seen, body, failed }] = await tab.asks({ url: sync({ timeout: 0 }), method: "GET", headers });
            assert.equal(failed, undefined);
            refused = status === 429;
            if (refused) assert.deepEqual([JSON.parse(body).errcode, seen["retry-after"]], ["M_LIMIT_EXCEEDED", "5"]);
        }
        enough.abort();
        await Promise.all(waiting);
    });
});
