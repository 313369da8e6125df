import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { pullRecordsContract } from '../../contracts/metadata-pulls.js';

pullRecordsContract('the manager in memory', async () => new MemoryMetadataManager());
