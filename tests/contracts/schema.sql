-- index ledger_by_end
CREATE INDEX ledger_by_end ON ledger (ticker, "end");

-- table alembic_version
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- table bars
CREATE TABLE bars (
	ticker VARCHAR(64) NOT NULL, 
	timestamp BIGINT NOT NULL, 
	epoch BIGINT NOT NULL, 
	part BIGINT NOT NULL, 
	first BIGINT NOT NULL, 
	last BIGINT NOT NULL, 
	open VARCHAR NOT NULL, 
	high VARCHAR NOT NULL, 
	low VARCHAR NOT NULL, 
	close VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	PRIMARY KEY (ticker, timestamp, epoch, part)
)
 WITHOUT ROWID

;

-- table candles
CREATE TABLE candles (
	ticker VARCHAR(64) NOT NULL, 
	resolution INTEGER NOT NULL, 
	timestamp BIGINT NOT NULL, 
	open VARCHAR NOT NULL, 
	high VARCHAR NOT NULL, 
	low VARCHAR NOT NULL, 
	close VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	PRIMARY KEY (ticker, resolution, timestamp)
)
 WITHOUT ROWID

;

-- table jobs
CREATE TABLE jobs (
	name VARCHAR(32) NOT NULL, 
	day BIGINT NOT NULL, 
	finished BIGINT NOT NULL, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID

;

-- table leader
CREATE TABLE leader (
	id INTEGER NOT NULL CONSTRAINT leader_is_one_row CHECK (id = 1), 
	epoch BIGINT NOT NULL, holder VARCHAR(64), expires BIGINT DEFAULT '0' NOT NULL, session BIGINT, 
	PRIMARY KEY (id)
);

-- table ledger
CREATE TABLE ledger (
	ticker VARCHAR(64) NOT NULL, 
	start BIGINT NOT NULL, 
	"end" BIGINT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	step INTEGER NOT NULL, 
	source VARCHAR(32), 
	reason VARCHAR(16), 
	PRIMARY KEY (ticker, start)
)
 WITHOUT ROWID

;

-- table persons
CREATE TABLE persons (
	person_id VARCHAR(64) NOT NULL, 
	username VARCHAR(256) NOT NULL, 
	email VARCHAR(320) NOT NULL, 
	first_seen BIGINT NOT NULL, 
	last_seen BIGINT NOT NULL, logged_in_until BIGINT, 
	PRIMARY KEY (person_id)
)
 WITHOUT ROWID

;

-- table prices
CREATE TABLE prices (
	ticker VARCHAR(64) NOT NULL, 
	timestamp BIGINT NOT NULL, 
	price VARCHAR NOT NULL, 
	exchange_timestamp BIGINT NOT NULL, 
	source VARCHAR(32) NOT NULL, 
	epoch BIGINT NOT NULL, 
	PRIMARY KEY (ticker, timestamp)
)
 WITHOUT ROWID

;
