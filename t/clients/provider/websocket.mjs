// WebSockets, with permessage-deflate for those who offer it.
//
// GET /v1/responses   the Responses API: each "response.create" message is
//                     answered with the events of one response, in turn.
// GET /v1/realtime?model=M
//                     an echo; the model "error-STATUS" refuses the handshake
//                     with that status and a body.  Commands, as JSON text:
//                     {"mock":"close","code":C,"reason":R}, {"mock":"ping"}.
//
// The journal gets
//   {"event":"message","connection":C,"binary","length","sha256","type",
//    "generate","previous_response_id","input","seen"}
//   {"event":"ping"|"pong","connection":C,"data"}
//   {"event":"close_frame","connection":C,"code","reason"}
// where code 1006 stands for a connection that ended without a close frame.

import { STATUS_CODES } from 'node:http';
import { WebSocketServer } from 'ws';

import { authorized, problem, problemBody, problemHeaders }
    from './behaviour.mjs';
import { itemTypes } from './journal.mjs';
import { events } from './responses.mjs';

function parse(bytes) {
    try {
        return JSON.parse(bytes.toString());
    } catch {
        return undefined;
    }
}

// One turn at a time, in the order in which they were asked for.
function responsesSocket(socket) {
    let turns = Promise.resolve();

    return (message) => {
        if (message?.type !== 'response.create') {
            return;
        }

        turns = turns.then(async () => {
            for await (const event of events(message)) {
                socket.send(JSON.stringify(event));
            }
        });
    };
}

function echoSocket(socket) {
    return (message, bytes, binary) => {
        switch (message?.mock) {
        case 'close':
            socket.close(message.code, message.reason);
            break;

        case 'ping':
            socket.ping('are you there');
            break;

        default:
            socket.send(bytes, { binary });
        }
    };
}

function refuse(socket, wrong) {
    const body = problemBody(wrong, false);
    const headers = { ...problemHeaders(wrong),
        'content-length': Buffer.byteLength(body), connection: 'close' };

    socket.end(`HTTP/1.1 ${wrong.status} ${STATUS_CODES[wrong.status]}\r\n`
        + Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join('')
        + `\r\n${body}`);
}

function serve(log, number, socket, answer) {
    socket.on('message', (bytes, binary) => {
        const message = binary ? undefined : parse(bytes);

        log.write({
            event: 'message',
            connection: number,
            binary,
            length: bytes.length,
            sha256: log.digest(bytes),
            type: message?.type,
            generate: message?.generate,
            previous_response_id: message?.previous_response_id,
            input: itemTypes(message?.input),
            seen: log.seen(bytes),
        });
        answer(message, bytes, binary);
    });

    for (const event of ['ping', 'pong']) {
        socket.on(event, (data) => log.write({
            event, connection: number, data: data.toString(),
        }));
    }

    socket.on('error', () => {});
    socket.on('close', (code, reason) => log.write({
        event: 'close_frame',
        connection: number,
        code,
        reason: reason.toString(),
    }));
}

// The listener for the server's "upgrade" event.
export function upgrade(log, credential) {
    const sockets = new WebSocketServer({
        noServer: true,
        maxPayload: 64 * 1024 * 1024,
        perMessageDeflate: { threshold: 1024 },
        handleProtocols: (offered) => offered.has('realtime') && 'realtime',
    });

    return (req, socket, early) => {
        const { pathname, searchParams } = new URL(req.url, 'http://mock');
        const service = {
            '/v1/realtime': echoSocket,
            '/v1/responses': responsesSocket,
        }[pathname];

        const wrong = !authorized(req, credential)
            ? problem('error-401', credential)
            : service === undefined
                ? problem('error-404', credential)
                : problem(searchParams.get('model'), credential);

        const number = log.handshake(req, wrong ? wrong.status : 101);

        if (wrong) {
            refuse(socket, wrong);
            return;
        }

        sockets.handleUpgrade(req, socket, early, (websocket) => {
            serve(log, number, websocket, service(websocket));
        });
    };
}
