// The `ws` library, and the OpenAI SDK's realtime client on top of it.
// Arguments: url (ws://...), key, and what a scenario names: protocols,
// deflate, bytes; base_url, ca (a file).

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import WebSocket from 'ws';

import { argumentsOf, hungUp, play } from './scenario.mjs';

const {
    url, key, protocols = [], deflate = false, bytes = 0, base_url, ca,
} = argumentsOf();

const digest = (data) => createHash('sha256').update(data).digest('hex');

const connect = () => new WebSocket(url, protocols, {
    headers: { authorization: `Bearer ${key}` },
    maxPayload: 64 * 1024 * 1024,
    perMessageDeflate: deflate,
});

async function opened() {
    const socket = connect();

    await once(socket, 'open');
    return socket;
}

async function closing(socket) {
    const [code, reason] = await once(socket, 'close');

    return { code, reason: reason.toString() };
}

async function echo() {
    const socket = await opened();

    socket.send('{"hello":"there"}');

    const [data, binary] = await once(socket, 'message');

    socket.close();
    return {
        protocol: socket.protocol,
        extensions: socket.extensions,
        text: data.toString(),
        binary,
        ...await closing(socket),
    };
}

// One message of that size there and back: random bytes as they are, text
// where it is to be compressed.
async function large() {
    const socket = await opened();
    const sent = deflate
        ? randomBytes(bytes / 2).toString('hex')
        : randomBytes(bytes);

    socket.send(sent);

    const [data, binary] = await once(socket, 'message');

    socket.close();
    return {
        extensions: socket.extensions,
        sent: digest(sent),
        received: digest(data),
        length: data.length,
        binary,
        ...await closing(socket),
    };
}

async function ping() {
    const socket = await opened();

    socket.ping('marco');

    const [pong] = await once(socket, 'pong');

    socket.send('{"mock":"ping"}');

    const [asked] = await once(socket, 'ping');

    socket.close();
    return { pong: pong.toString(), asked: asked.toString(),
        ...await closing(socket) };
}

async function closedByClient() {
    const socket = await opened();

    socket.close(4001, 'the client has had enough');
    return closing(socket);
}

async function closedByProvider() {
    const socket = await opened();

    socket.send(JSON.stringify({
        mock: 'close', code: 4002, reason: 'the provider has had enough',
    }));
    return closing(socket);
}

// Ends the connection without a close frame, as Codex does, and stays.
async function dropped() {
    const socket = await opened();

    socket.terminate();
    await hungUp();
    return {};
}

async function refused() {
    const socket = connect();

    socket.on('open', () => socket.emit('error', new Error('accepted')));

    const [, response] = await once(socket, 'unexpected-response');
    const parts = [];

    for await (const part of response) {
        parts.push(part);
    }

    return {
        status: response.statusCode,
        headers: response.headers,
        body: Buffer.concat(parts).toString(),
    };
}

async function realtimeSdk() {
    const realtime = await OpenAIRealtimeWS.create(
        new OpenAI({ apiKey: key, baseURL: base_url }),
        { model: 'mock-1', options: { ca: readFileSync(ca) } },
    );
    const { socket } = realtime;

    await once(socket, 'open');
    realtime.send({ type: 'session.update', session: {} });

    const [data] = await once(socket, 'message');

    realtime.close();
    return { text: data.toString(), ...await closing(socket) };
}

await play({
    'closed-by-client': closedByClient,
    'closed-by-provider': closedByProvider,
    dropped,
    echo,
    large,
    ping,
    'realtime-sdk': realtimeSdk,
    refused,
});
