BEGIN TRANSACTION;
CREATE TABLE model_version_tags (
	name TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	value_head TEXT NOT NULL, 
	value_folded TEXT, 
	last_updated_time BIGINT NOT NULL, 
	CONSTRAINT pk_model_version_tags PRIMARY KEY (name, version, "key"), 
	CONSTRAINT fk_model_version_tags_version FOREIGN KEY(name, last_updated_time, version) REFERENCES model_versions (name, last_updated_time, version) ON DELETE CASCADE ON UPDATE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "model_version_tags" VALUES('churn',1,'number','1','1',NULL,1795907170407);
INSERT INTO "model_version_tags" VALUES('churn',2,'number','2','2',NULL,1795907170466);
INSERT INTO "model_version_tags" VALUES('churn',5,'number','5','5',NULL,1795907170434);
INSERT INTO "model_version_tags" VALUES('greeting',1,'mlflow.prompt.is_prompt','true','true',NULL,1795907170666);
INSERT INTO "model_version_tags" VALUES('greeting',1,'mlflow.prompt.text','Hello {{ name }}, ü','Hello {{ name }}, ü',NULL,1795907170666);
INSERT INTO "model_version_tags" VALUES('多言語',2,'pushed','yes','yes',NULL,1795907170586);
INSERT INTO "model_version_tags" VALUES('多言語',2,'registry.artifacts.digest','sha256:c31da09b43b5c5c17a7de3c1b4a17e820826beeea0748384ff1df65a1c533e7f','sha256:c31da09b43b5c5c17a7de3c1b4a17e820826beeea0748384ff1df65a1c533e7f',NULL,1795907170586);
CREATE TABLE model_versions (
	name TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	creation_time BIGINT NOT NULL, 
	last_updated_time BIGINT NOT NULL, 
	current_stage TEXT NOT NULL, 
	source TEXT NOT NULL, 
	source_folded TEXT, 
	storage_location TEXT, 
	run_id TEXT, 
	run_id_folded TEXT, 
	run_link TEXT, 
	status TEXT NOT NULL, 
	status_message TEXT, 
	description TEXT, 
	user_id TEXT, 
	model_id TEXT, 
	CONSTRAINT pk_model_versions PRIMARY KEY (name, version), 
	CONSTRAINT uq_model_versions_model_updated UNIQUE (name, last_updated_time, version), 
	CONSTRAINT fk_model_versions_model FOREIGN KEY(name) REFERENCES registered_models (name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "model_versions" VALUES('churn',1,1795907170407,1795907170407,'None','s3://elsewhere/1',NULL,NULL,'r1',NULL,'https://runs.example/1','READY',NULL,'','ann',NULL);
INSERT INTO "model_versions" VALUES('churn',2,1795907170415,1795907170466,'Archived','s3://elsewhere/2',NULL,NULL,'',NULL,'','READY',NULL,'','ann','m-1');
INSERT INTO "model_versions" VALUES('churn',3,1795907170417,1795907170460,'Production','s3://elsewhere/3',NULL,NULL,'r1',NULL,'','READY',NULL,'','ann',NULL);
INSERT INTO "model_versions" VALUES('churn',5,1795907170434,1795907170434,'None','s3://elsewhere/5',NULL,NULL,'r1',NULL,'','READY',NULL,'the fifth','ann',NULL);
INSERT INTO "model_versions" VALUES('churn',6,1795907170437,1795907170437,'None','s3://elsewhere/6',NULL,NULL,'',NULL,'','READY',NULL,'','ann',NULL);
INSERT INTO "model_versions" VALUES('多言語',1,1795907170480,1795907170480,'None','models:/churn/3',NULL,'s3://elsewhere/3','r1',NULL,'','READY',NULL,'',NULL,NULL);
INSERT INTO "model_versions" VALUES('多言語',2,1795907170527,1795907170586,'None','@ROOT@/~E5~A4~9A~E8~A8~80~E8~AA~9E/c31da09b43b5c5c17a7de3c1b4a17e82',NULL,NULL,'',NULL,'','READY',NULL,'',NULL,NULL);
INSERT INTO "model_versions" VALUES('after',1,1795907170635,1795907170650,'None','dbfs:/x',NULL,NULL,'',NULL,'','READY',NULL,'of the renamed',NULL,NULL);
INSERT INTO "model_versions" VALUES('greeting',1,1795907170666,1795907170666,'None','prompt-template',NULL,NULL,'',NULL,'','READY',NULL,'',NULL,NULL);
CREATE TABLE registered_model_aliases (
	name TEXT NOT NULL, 
	alias TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_registered_model_aliases PRIMARY KEY (name, alias), 
	CONSTRAINT fk_registered_model_aliases_version FOREIGN KEY(name, version) REFERENCES model_versions (name, version) ON DELETE CASCADE ON UPDATE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "registered_model_aliases" VALUES('after','b',1);
INSERT INTO "registered_model_aliases" VALUES('churn','champion',3);
INSERT INTO "registered_model_aliases" VALUES('churn','challenger',6);
INSERT INTO "registered_model_aliases" VALUES('greeting','live',1);
INSERT INTO "registered_model_aliases" VALUES('多言語','champion',2);
CREATE TABLE registered_model_tags (
	name TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	value_head TEXT NOT NULL, 
	value_folded TEXT, 
	CONSTRAINT pk_registered_model_tags PRIMARY KEY (name, "key"), 
	CONSTRAINT fk_registered_model_tags_model FOREIGN KEY(name) REFERENCES registered_models (name) ON DELETE CASCADE ON UPDATE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "registered_model_tags" VALUES('Grüße "quoted" ''twice'' 50%','k ey','ü
\"''','ü
\"''',NULL);
INSERT INTO "registered_model_tags" VALUES('Grüße "quoted" ''twice'' 50%','team','risk','risk',NULL);
INSERT INTO "registered_model_tags" VALUES('after','k ey','ü
\"''','ü
\"''',NULL);
INSERT INTO "registered_model_tags" VALUES('after','team','risk','risk',NULL);
INSERT INTO "registered_model_tags" VALUES('churn','k ey','ü
\"''','ü
\"''',NULL);
INSERT INTO "registered_model_tags" VALUES('churn','team','risk','risk',NULL);
INSERT INTO "registered_model_tags" VALUES('greeting','mlflow.prompt.is_prompt','true','true',NULL);
INSERT INTO "registered_model_tags" VALUES('多言語','k ey','ü
\"''','ü
\"''',NULL);
INSERT INTO "registered_model_tags" VALUES('多言語','team','risk','risk',NULL);
CREATE TABLE registered_models (
	name TEXT NOT NULL, 
	name_folded TEXT, 
	creation_time BIGINT NOT NULL, 
	last_updated_time BIGINT NOT NULL, 
	description TEXT, 
	deployment_job_id TEXT, 
	deployment_job_state TEXT, 
	next_version BIGINT NOT NULL, 
	CONSTRAINT pk_registered_models PRIMARY KEY (name)
);
INSERT INTO "registered_models" VALUES('churn',NULL,1795907170369,1795907170466,'A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
',NULL,NULL,8);
INSERT INTO "registered_models" VALUES('Grüße "quoted" ''twice'' 50%',NULL,1795907170386,1795907170386,'About Grüße "quoted" ''twice'' 50%
',NULL,NULL,1);
INSERT INTO "registered_models" VALUES('empty',NULL,1795907170387,1795907170387,NULL,NULL,NULL,1);
INSERT INTO "registered_models" VALUES('after',NULL,1795907170394,1795907170650,'About before
',NULL,NULL,2);
INSERT INTO "registered_models" VALUES('多言語',NULL,1795907170397,1795907170527,'About 多言語
',NULL,NULL,3);
INSERT INTO "registered_models" VALUES('greeting',NULL,1795907170656,1795907170666,NULL,NULL,NULL,2);
CREATE TABLE registry_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT registry_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "registry_alembic_version" VALUES('0001');
CREATE TABLE webhooks (
	webhook_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	url TEXT NOT NULL, 
	events TEXT NOT NULL, 
	description TEXT, 
	status TEXT NOT NULL, 
	secret TEXT, 
	creation_time BIGINT NOT NULL, 
	last_updated_time BIGINT NOT NULL, 
	CONSTRAINT pk_webhooks PRIMARY KEY (webhook_id)
);
INSERT INTO "webhooks" VALUES('0b6c1c4e-0000-4000-8000-000000000001','to chat','https://chat.example/hook','[["model_version", "created"]]','tells of versions','ACTIVE',NULL,1795907170682,1795907170682);
CREATE INDEX ix_registered_models_updated ON registered_models (last_updated_time DESC, name);
CREATE INDEX ix_model_versions_source ON model_versions (substr(source, 1, 512));
CREATE INDEX ix_model_versions_stage ON model_versions (name, current_stage, version);
CREATE INDEX ix_model_versions_updated ON model_versions (last_updated_time DESC, name, version DESC);
CREATE INDEX ix_model_versions_run ON model_versions (run_id);
CREATE INDEX ix_model_versions_created ON model_versions (creation_time DESC, name, version DESC);
CREATE INDEX ix_registered_model_tags_value ON registered_model_tags ("key", value_head, name);
CREATE INDEX ix_model_version_tags_value ON model_version_tags ("key", value_head, last_updated_time DESC, name, version DESC);
CREATE INDEX ix_registered_model_aliases_version ON registered_model_aliases (name, version);
COMMIT;
