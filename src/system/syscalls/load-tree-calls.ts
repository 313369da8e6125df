import { createRequire } from 'node:module';
import { NativeFreeTreeCalls } from './native-free/native-free-tree-calls.js';
import type { Syscalls } from './syscalls.js';
import type { TreeCalls } from './tree-calls.js';

const require = createRequire(import.meta.url);

let native: TreeCalls | undefined;

/** The calls on trees that go with these system calls: native ones with native ones. Loaded once per thread, when first asked for. */
export function loadTreeCalls(syscalls: Syscalls): TreeCalls {
  if (syscalls.kind === 'native-free') return new NativeFreeTreeCalls();
  if (native === undefined) {
    const { NativeTreeCalls } =
      require('./native/native-tree-calls.js') as typeof import('./native/native-tree-calls.js');
    native = new NativeTreeCalls();
  }
  return native;
}
