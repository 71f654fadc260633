// As much of node:assert/strict as the scenes' devices use, for browsers.

export default function assert(ok, message) {
    if (!ok) throw new Error(message ?? "what was asserted is not so");
}

assert.ok = assert;
assert.equal = (got, want, message) => assert(Object.is(got, want), `${message ?? "not equal"}: got ${text(got)}, want ${text(want)}`);
assert.notEqual = (got, other, message) => assert(!Object.is(got, other), `${message ?? "equal"}: got ${text(got)}`);
assert.deepEqual = (got, want, message) => assert.equal(text(got), text(want), message);
assert.deepStrictEqual = assert.deepEqual;

// text is a value as JSON has it, with the members of objects in order.
function text(value) {
    return JSON.stringify(value, (_, v) =>
        v !== null && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v,
    );
}
