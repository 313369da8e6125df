/*
 * Unpacks one layer in a process of its own, for tests that need another user: node unpack-once.mjs REQUEST, both in JSON. It prints the result, with the digest of the archive made
 * again, or the error's code.
 */
import { createHash } from 'node:crypto';
import { rebuildTar } from '#src/files/tar-record/rebuild-tar.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { unpackLayer } from '#src/unpack/unpack-layer.js';

const request = JSON.parse(process.argv[2] ?? '{}');
try {
  const result = await unpackLayer(request, {
    syscalls: loadSyscalls(),
    signal: new AbortController().signal,
    progress: () => {},
    hasSpareProcessor: () => true,
  });
  const hash = createHash('sha256');
  for (const piece of rebuildTar(request.directory, loadTreeCalls(loadSyscalls()))) hash.update(piece);
  const rebuilt = `sha256:${hash.digest('hex')}`;
  process.stdout.write(JSON.stringify({ kind: loadSyscalls().kind, rebuilt, ...result }));
} catch (error) {
  process.stdout.write(JSON.stringify({ failed: error.code, message: error.message, cause: String(error.cause) }));
}
