import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { describeFileTree } from '../../native-free-tests/contracts/file-tree.js';
import { describeSyscalls } from '../../native-free-tests/contracts/syscalls.js';
import { describeTreeCalls } from '../../native-free-tests/contracts/tree-calls.js';
import { describeWith } from '../helpers/requirements.js';

describeWith(['root'], 'on a machine with native calls,', () => {
  describeSyscalls('native', { load: loadSyscalls, whole: true, precision: 0 });
  describeFileTree('native', { open: (directory) => loadSyscalls().openTree(directory), whole: true, precision: 0 });
  describeTreeCalls('native', { calls: loadTreeCalls(loadSyscalls()), precision: 0 });
});
