// A wire lies between clients and a server, which is killed and started again at
// the moment that a scene names. The clients do not notice: what they had asked
// by then is asked again, as SDKs do after some seconds.

import { createServer } from "node:http";
import { isKilled, starts } from "./servers.js";

export const moments = ["before it has a request", "while it answers", "before its answer arrives"];

export async function wire(t, upstream, server) {
    const w = new Wire(upstream, server);
    await new Promise((listens) => w.listener.listen(0, "127.0.0.1", listens));
    w.url = `http://127.0.0.1:${w.listener.address().port}`;
    t.after(() => w.ends());
    return w;
}

class Wire {
    constructor(upstream, server) {
        Object.assign(this, { upstream, server, back: Promise.resolve(), cut: null });
        this.listener = createServer((request, response) => this.#carries(request, response).catch(() => response.destroy()));
    }

    ends() {
        this.listener.close();
        this.listener.closeAllConnections();
    }

    // cuts has the server killed at the next request for a path that contains
    // this, which an act brings about. It ends when the server is back.
    async cuts(path, moment, act) {
        const { promise, resolve, reject } = Promise.withResolvers();
        const deadline = setTimeout(() => reject(new Error(`nothing was asked of ${path}`)), 30_000);
        this.cut = { path, moment, resolve };
        const [done] = await Promise.all([act(), promise]);
        clearTimeout(deadline);
        return done;
    }

    async #carries(request, response) {
        const gone = new AbortController();
        response.on("close", () => gone.abort());
        const body = Buffer.concat(await Array.fromAsync(request));
        const ask = () => fetch(this.upstream + request.url, {
            method: request.method,
            headers: forwarded(request.headers, ["host", "connection", "content-length", "transfer-encoding", "accept-encoding"]),
            body: body.length ? body : undefined,
            signal: gone.signal,
        });
        if (this.cut && request.url.includes(this.cut.path)) {
            this.back = this.#kills(this.cut.moment, ask);
            this.cut.resolve(this.back);
            this.cut = null;
        }
        const answer = await this.#insists(ask, gone.signal);
        const content = Buffer.from(await answer.arrayBuffer());
        response.writeHead(answer.status, forwarded(Object.fromEntries(answer.headers), ["connection", "content-length", "transfer-encoding"]));
        response.end(content);
    }

    // kills has the server come back after a moment of the request.
    async #kills(moment, ask) {
        const asked = moment === moments[0] ? null : ask().then((answer) => answer.arrayBuffer()).catch(() => {});
        if (moment === moments[2]) await asked;
        await isKilled(this.server);
        await asked;
        await starts(this.server);
    }

    // insists asks until there is an answer, after each time that the server was
    // gone.
    async #insists(ask, signal) {
        for (let tries = 0; ; tries++) {
            await this.back;
            try {
                return await ask();
            } catch (e) {
                if (signal.aborted || tries > 10) throw e;
            }
        }
    }
}

const forwarded = (headers, without) => Object.fromEntries(Object.entries(headers).filter(([name]) => !without.includes(name)));
