/*
 * Unpacks one layer in a process of its own, for tests that need another user: node unpack-once.mjs REQUEST, both in JSON. It prints the result, or
 * the error's code.
 */
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { unpackLayer } from '#src/unpack/unpack-layer.js';

const request = JSON.parse(process.argv[2] ?? '{}');
try {
  const result = await unpackLayer(request, {
    syscalls: loadSyscalls(),
    signal: new AbortController().signal,
    progress: () => {},
    hasSpareProcessor: () => true,
  });
  process.stdout.write(JSON.stringify({ kind: loadSyscalls().kind, ...result }));
} catch (error) {
  process.stdout.write(JSON.stringify({ failed: error.code, message: error.message, cause: String(error.cause) }));
}
