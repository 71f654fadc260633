// What goes on between the SDK and the server, so that nothing is passed over
// silently.

// watchful is a fetch with which a fault of the server fails the test, even if
// the SDK would have lived with it.
export function watchful(t) {
    return async (url, options) => {
        const answer = await fetch(url, options);
        if (answer.status >= 500) {
            t.diagnostic(`${options?.method ?? "GET"} ${url} was answered with ${answer.status}: ${await answer.clone().text()}`);
            t.faults = (t.faults ?? 0) + 1;
        }
        return answer;
    };
}

// quiet is a logger that says nothing, but hands on what the SDK calls an error.
export function quiet(onError = () => {}) {
    const silent = () => {};
    return {
        trace: silent,
        debug: silent,
        info: silent,
        warn: silent,
        error: (...what) => onError(new Error(what.map(String).join(" "))),
        getChild: () => quiet(onError),
    };
}
