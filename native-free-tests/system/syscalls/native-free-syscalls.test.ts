import { toBytePath } from '#src/system/syscalls/byte-path.js';
import { NativeFreeFileTree } from '#src/system/syscalls/native-free/native-free-file-tree.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
import { describeFileTree } from '../../contracts/file-tree.js';
import { describeSyscalls } from '../../contracts/syscalls.js';
import { describeTreeCalls } from '../../contracts/tree-calls.js';

/** Node has times in microseconds. */
const precision = 1000;

describeSyscalls('native-free', { load: () => new NativeFreeSyscalls(), whole: false, precision });
describeFileTree('native-free', {
  open: (directory) => new NativeFreeFileTree(toBytePath(directory)),
  whole: false,
  precision,
});
describeTreeCalls('native-free', { calls: new NativeFreeTreeCalls(), precision });
