import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { metadataManagerContract } from '../../contracts/metadata-manager.js';

metadataManagerContract('the manager in memory', async () => new MemoryMetadataManager());
