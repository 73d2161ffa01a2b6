// Anthropic's POST /v1/messages, as JSON or as server-sent events.

import { eventStream, pause, pieces, sendJson, text } from './behaviour.mjs';

const message = (request, content, stop_reason, output_tokens) => ({
    id: 'msg_mock',
    type: 'message',
    role: 'assistant',
    model: request.model,
    content,
    stop_reason,
    stop_sequence: null,
    usage: {
        input_tokens: 20,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 100,
        output_tokens,
    },
});

async function stream(res, request) {
    const send = eventStream(res);
    const event = (type, rest) => send(type, { type, ...rest });

    event('message_start', { message: message(request, [], null, 1) });
    event('content_block_start', {
        index: 0, content_block: { type: 'text', text: '' },
    });
    event('ping', {});

    for (const [index, piece] of pieces.entries()) {
        event('content_block_delta', {
            index: 0, delta: { type: 'text_delta', text: piece },
        });

        if (index === 0) {
            await pause(request.model);
        }
    }

    event('content_block_stop', { index: 0 });
    event('message_delta', {
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 30 },
    });
    event('message_stop', {});
    res.end();
}

export async function anthropic(req, res, request) {
    res.setHeader('request-id', 'req_mock_anthropic');

    if (request.stream) {
        await stream(res, request);
        return;
    }

    sendJson(res, message(
        request, [{ type: 'text', text }], 'end_turn', 30,
    ));
}
