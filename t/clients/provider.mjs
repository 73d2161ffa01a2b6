// A stand-in for OpenAI and Anthropic, for tests of real clients.
//
// usage: node provider.mjs '{"credential": KEY, "watch": {NAME: VALUE, ...}}'
//
// It listens on a free port of 127.0.0.1 and writes one JSON object per line
// to standard output: first {"event":"listening","port":N}, then everything
// that arrives, as provider/journal.mjs describes.  It ends when its standard
// input does, so that it never outlives the test that started it.
//
// As a real provider would, it wants "credential" as a Bearer token or, under
// /v1/messages, as x-api-key, and answers 401 to anything else.  The model
// name chooses the behaviour: see provider/behaviour.mjs.

import http from 'node:http';

import { anthropic } from './provider/anthropic.mjs';
import { authorized, problem, sendProblem } from './provider/behaviour.mjs';
import { chat } from './provider/chat.mjs';
import { journal } from './provider/journal.mjs';
import { models } from './provider/models.mjs';
import { responses } from './provider/responses.mjs';
import { upgrade } from './provider/websocket.mjs';

const options = JSON.parse(process.argv[2]);
const log = journal(options.watch ?? {});

const routes = {
    'GET /v1/models': models,
    'POST /v1/chat/completions': chat,
    'POST /v1/messages': anthropic,
    'POST /v1/responses': responses,
};

const server = http.createServer(async (req, res) => {
    const exchange = log.request(req, res);
    const body = await exchange.body();

    if (body === null) {
        return;
    }

    const path = req.url.split('?')[0];
    const route = routes[`${req.method} ${path}`];
    const wrong = !authorized(req, options.credential)
        ? problem('error-401', options.credential)
        : route === undefined
            ? problem('error-404', options.credential)
            : problem(exchange.json?.model, options.credential);

    res.setHeader('x-request-id', `req_mock_${exchange.number}`);
    res.setHeader('openai-organization', 'org-of-the-key');
    res.setHeader('set-cookie', '__cf_bm=provider; path=/');

    if (wrong) {
        sendProblem(res, wrong, path === '/v1/messages');
        return;
    }

    await route(req, res, exchange.json);
});

// A connection that nginx keeps is never closed under a request of its.
server.keepAliveTimeout = 0;
server.on('connection', (socket) => log.connection(socket));
server.on('upgrade', upgrade(log, options.credential));
server.listen(0, '127.0.0.1', () => {
    log.write({ event: 'listening', port: server.address().port });
});

process.stdin.on('end', () => process.exit(0)).resume();
