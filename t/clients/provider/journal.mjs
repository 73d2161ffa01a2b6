// What arrived, one JSON object per line on standard output.
//
//   {"event":"open","connection":C}        a connection was accepted
//   {"event":"request","connection":C,"method","target","head","length",
//    "sha256","model","input","seen"}      a request has arrived completely;
//                                          input: the types of its items
//   {"event":"answered","connection":C,"complete":true|false}
//                                          the reply ended, or was cut short
//   {"event":"handshake","connection":C,"target","head","seen","status"}
//                                          an upgrade request, and our answer
//   {"event":"message",...}                see websocket.mjs
//   {"event":"close","connection":C}       the connection is gone
//
// "head" is the request line and header lines exactly as received, CRLFs and
// all (bytes as Latin-1).  "seen" counts each watched value in the head, the
// body and, on a WebSocket, in the message.

import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';

const headEnd = Buffer.from('\r\n\r\n');

function count(bytes, value) {
    const wanted = Buffer.from(value);
    let found = 0;

    for (let at = bytes.indexOf(wanted); at >= 0; found++) {
        at = bytes.indexOf(wanted, at + wanted.length);
    }

    return found;
}

// What a Responses request brings along, without its many kilobytes of text.
export function itemTypes(input) {
    return Array.isArray(input)
        ? input.map((item) => item.type ?? 'message')
        : undefined;
}

export function journal(watch) {
    const connections = new WeakMap();
    let opened = 0;
    let requests = 0;

    const write = (entry) => {
        let line = Buffer.from(JSON.stringify(entry) + '\n');

        // A pipe may take less than a whole line at once.
        while (line.length > 0) {
            line = line.subarray(writeSync(1, line));
        }
    };

    const seen = (...parts) => Object.fromEntries(
        Object.entries(watch).map(([name, value]) => [
            name,
            parts.reduce((sum, bytes) => sum + count(bytes, value), 0),
        ]),
    );

    const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

    // Keeps the raw bytes of each request, which node's parser hides.
    function connection(socket) {
        const state = { number: ++opened, raw: [] };
        const tap = (bytes) => state.raw.push(bytes);

        connections.set(socket, state);
        write({ event: 'open', connection: state.number });

        // The first listener added by on() makes node read through the
        // stream instead of under it; only then does the tap see anything.
        socket.on('data', () => {});
        socket.prependListener('data', tap);
        state.untap = () => socket.off('data', tap);

        socket.on('error', () => {});
        socket.on('close', () => {
            write({ event: 'close', connection: state.number });
        });
    }

    function takeHead(socket) {
        const state = connections.get(socket);
        const raw = Buffer.concat(state.raw);

        return raw.subarray(0, raw.indexOf(headEnd) + headEnd.length);
    }

    function request(req, res) {
        const { number } = connections.get(req.socket);
        const exchange = { number: ++requests, json: undefined };

        res.on('close', () => write({
            event: 'answered',
            connection: number,
            complete: res.writableFinished,
        }));

        // Resolves to the body, or to null if the client went before its end.
        exchange.body = () => new Promise((resolve) => {
            const parts = [];

            req.on('data', (bytes) => parts.push(bytes));
            req.on('error', () => resolve(null));
            req.on('end', () => {
                const head = takeHead(req.socket);
                const body = Buffer.concat(parts);

                try {
                    exchange.json = JSON.parse(body.toString());
                } catch {
                    exchange.json = undefined;
                }

                connections.get(req.socket).raw.length = 0;
                write({
                    event: 'request',
                    connection: number,
                    method: req.method,
                    target: req.url,
                    head: head.toString('latin1'),
                    length: body.length,
                    sha256: digest(body),
                    model: exchange.json?.model,
                    input: itemTypes(exchange.json?.input),
                    seen: seen(head, body),
                });
                resolve(body);
            });
        });

        return exchange;
    }

    // Describes an upgrade request; the bytes after it belong to the socket.
    function handshake(req, status) {
        const state = connections.get(req.socket);
        const head = takeHead(req.socket);

        state.untap();
        write({
            event: 'handshake',
            connection: state.number,
            target: req.url,
            head: head.toString('latin1'),
            status,
            seen: seen(head),
        });

        return state.number;
    }

    return { connection, digest, handshake, request, seen, write };
}
