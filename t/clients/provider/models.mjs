// GET /v1/models, which also lets "stepwise" streams go on.

import { sendJson, stepOn } from './behaviour.mjs';

export function models(req, res) {
    stepOn();
    sendJson(res, {
        object: 'list',
        data: ['mock-1', 'mock-2'].map((id) => ({
            id,
            object: 'model',
            created: 1700000000,
            owned_by: 'mock',
        })),
    });
}
