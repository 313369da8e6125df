import { loadProcesses } from '#src/system/processes/load-processes.js';
import { describeProcesses } from '../../native-free-tests/contracts/processes.js';

describeProcesses('native', loadProcesses);
