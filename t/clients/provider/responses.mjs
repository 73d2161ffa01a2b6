// The Responses API: POST /v1/responses, as JSON or as server-sent events.
// The same events, one per text frame, answer over a WebSocket.

import { eventStream, pause, pieces, sendJson, text } from './behaviour.mjs';

let made = 0;

const usage = {
    input_tokens: 120,
    input_tokens_details: { cached_tokens: 100 },
    output_tokens: 30,
    output_tokens_details: { reasoning_tokens: 10 },
    total_tokens: 150,
};

// Nothing was generated.
const prewarmUsage = {
    ...usage,
    output_tokens: 0,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 120,
};

function response(id, request, status, output) {
    return {
        id,
        object: 'response',
        created_at: 1700000000,
        status,
        background: false,
        error: null,
        incomplete_details: null,
        instructions: null,
        model: request.model,
        output,
        parallel_tool_calls: true,
        previous_response_id: request.previous_response_id ?? null,
        store: false,
        tool_choice: 'auto',
        tools: [],
        usage: status !== 'completed' ? null
            : request.generate === false ? prewarmUsage : usage,
        metadata: {},
    };
}

function message(id, status, parts) {
    return {
        id,
        type: 'message',
        role: 'assistant',
        status,
        content: parts.map((part) => ({
            type: 'output_text',
            annotations: [],
            text: part,
        })),
    };
}

// A tool that no client has, so that its answer is known: an error.
function toolCall(id, status) {
    return {
        id,
        type: 'function_call',
        status,
        call_id: `call_${id}`,
        name: 'mock_unknown_tool',
        arguments: status === 'completed' ? '{}' : '',
    };
}

// The provider has no memory: a tool's output among the input ends the tool's
// turn, whether it came after the whole history or on the same socket.
function wantsTool(request) {
    return request.model === 'tool'
        && !(request.input ?? []).some?.(
            (item) => item.type === 'function_call_output',
        );
}

async function* textEvents(item, request) {
    const at = { item_id: item, output_index: 0, content_index: 0 };
    const part = (whole) => ({
        type: 'output_text', annotations: [], text: whole,
    });

    yield ['response.output_item.added', {
        output_index: 0, item: message(item, 'in_progress', []),
    }];
    yield ['response.content_part.added', { ...at, part: part('') }];

    for (const [index, delta] of pieces.entries()) {
        yield ['response.output_text.delta', { ...at, delta, logprobs: [] }];

        if (index === 0) {
            await pause(request.model);
        }
    }

    yield ['response.output_text.done', { ...at, text, logprobs: [] }];
    yield ['response.content_part.done', { ...at, part: part(text) }];
    yield ['response.output_item.done', {
        output_index: 0, item: message(item, 'completed', [text]),
    }];
}

function* toolEvents(item) {
    const at = { item_id: item, output_index: 0 };

    yield ['response.output_item.added', {
        output_index: 0, item: toolCall(item, 'in_progress'),
    }];
    yield ['response.function_call_arguments.delta', { ...at, delta: '{}' }];
    yield ['response.function_call_arguments.done', {
        ...at, arguments: '{}',
    }];
    yield ['response.output_item.done', {
        output_index: 0, item: toolCall(item, 'completed'),
    }];
}

// All events of one response, in the order in which OpenAI sends them.
// A request with "generate": false, Codex's prewarm, produces no output.
export async function* events(request) {
    const id = `resp_mock_${++made}`;
    const item = `item_mock_${made}`;
    const output = [];
    let sequence = 0;

    const event = (type, rest) => ({
        type, sequence_number: sequence++, ...rest,
    });

    yield event('response.created', {
        response: response(id, request, 'in_progress', []),
    });
    yield event('response.in_progress', {
        response: response(id, request, 'in_progress', []),
    });

    if (request.generate !== false) {
        const steps = wantsTool(request)
            ? toolEvents(item)
            : textEvents(item, request);

        for await (const [type, rest] of steps) {
            if (type === 'response.output_item.done') {
                output.push(rest.item);
            }

            yield event(type, rest);
        }
    }

    yield event('response.completed', {
        response: response(id, request, 'completed', output),
    });
}

export async function responses(req, res, request) {
    res.setHeader('openai-processing-ms', '7');
    res.setHeader('x-codex-turn-state', 'turn-state-of-the-mock');
    res.setHeader('x-ratelimit-remaining-requests', '4999');

    if (request.stream) {
        const send = eventStream(res);

        for await (const event of events(request)) {
            send(event.type, event);
        }

        res.end();
        return;
    }

    for await (const event of events(request)) {
        if (event.type === 'response.completed') {
            sendJson(res, event.response);
        }
    }
}
