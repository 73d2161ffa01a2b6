// How a client script is run: node SCRIPT SCENARIO ARGUMENTS-AS-JSON.
//
// It prints what the scenario returns, as one JSON object, and ends at once.

export const argumentsOf = () => JSON.parse(process.argv[3]);

export async function play(scenarios) {
    const result = await scenarios[process.argv[2]](argumentsOf());

    process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0));
}

// Resolves when the test hangs up.
export const hungUp = () => new Promise((resolve) => {
    process.stdin.on('end', resolve).resume();
});

// What a call throws, as far as a test may look at it.
export async function errorOf(call) {
    try {
        return { result: await call() };
    } catch (error) {
        return {
            name: error.constructor.name,
            status: error.status,
            code: error.code,
            type: error.type,
            message: error.message,
            body: error.error,
            headers: Object.fromEntries(error.headers ?? []),
        };
    }
}
