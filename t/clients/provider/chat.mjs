// POST /v1/chat/completions, as JSON or as server-sent events.

import { eventStream, pause, pieces, sendJson, text } from './behaviour.mjs';

const usage = {
    prompt_tokens: 120,
    completion_tokens: 30,
    total_tokens: 150,
    prompt_tokens_details: { cached_tokens: 100 },
    completion_tokens_details: { reasoning_tokens: 10 },
};

const about = (request, object) => ({
    id: 'chatcmpl-mock',
    object,
    created: 1700000000,
    model: request.model,
});

async function stream(res, request) {
    const send = eventStream(res);
    const chunk = (delta, finish_reason = null) => send(undefined, {
        ...about(request, 'chat.completion.chunk'),
        choices: [{ index: 0, delta, finish_reason }],
    });

    chunk({ role: 'assistant', content: '' });

    for (const [index, content] of pieces.entries()) {
        chunk({ content });

        if (index === 0) {
            await pause(request.model);
        }
    }

    chunk({}, 'stop');

    if (request.stream_options?.include_usage) {
        send(undefined, {
            ...about(request, 'chat.completion.chunk'), choices: [], usage,
        });
    }

    send(undefined, '[DONE]');
    res.end();
}

export async function chat(req, res, request) {
    if (request.stream) {
        await stream(res, request);
        return;
    }

    sendJson(res, {
        ...about(request, 'chat.completion'),
        choices: [{
            index: 0,
            message: { role: 'assistant', content: text, refusal: null },
            finish_reason: 'stop',
            logprobs: null,
        }],
        usage,
    });
}
