import { NativeFreeProcesses } from '#src/system/processes/native-free/native-free-processes.js';
import { describeProcesses } from '../../contracts/processes.js';

describeProcesses('native-free', () => new NativeFreeProcesses());
