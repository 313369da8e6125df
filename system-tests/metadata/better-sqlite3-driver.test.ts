import { loadBetterSqlite3 } from '#src/metadata/sqlite/drivers/better-sqlite3-driver.js';
import { sqliteDriverContract } from '../../native-free-tests/contracts/sqlite-driver.js';

sqliteDriverContract(loadBetterSqlite3());
