// The operations of the specification, from the extract in the repository, as
// requests that are refused, since nobody has their access token.

import { readFileSync } from "node:fs";

const extract = new URL("../../../internal/openapi/extract.json", import.meta.url);

// What the extract does not have, and web clients use.
const further = ["POST /_matrix/client/v4/sync", "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync"];

export function refusedRequests(baseUrl) {
    const { operations } = JSON.parse(readFileSync(extract));
    return [...Object.keys(operations), ...further].map((operation) => {
        const [method, path] = operation.split(" ");
        const headers = { Authorization: "Bearer nobody", "Content-Type": "application/json" };
        return { url: baseUrl + path.replace(/{[^}]*}/g, "x"), method, headers, body: method === "GET" ? undefined : "{}" };
    });
}
