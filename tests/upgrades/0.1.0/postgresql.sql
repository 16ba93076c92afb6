SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.model_version_tags (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    value_head text NOT NULL COLLATE pg_catalog."C",
    value_folded text COLLATE pg_catalog."C",
    last_updated_time bigint NOT NULL
);
CREATE TABLE public.model_versions (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    creation_time bigint NOT NULL,
    last_updated_time bigint NOT NULL,
    current_stage text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    source_folded text COLLATE pg_catalog."C",
    storage_location text COLLATE pg_catalog."C",
    run_id text COLLATE pg_catalog."C",
    run_id_folded text COLLATE pg_catalog."C",
    run_link text COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    status_message text COLLATE pg_catalog."C",
    description text COLLATE pg_catalog."C",
    user_id text COLLATE pg_catalog."C",
    model_id text COLLATE pg_catalog."C"
);
CREATE TABLE public.registered_model_aliases (
    name text NOT NULL COLLATE pg_catalog."C",
    alias text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL
);
CREATE TABLE public.registered_model_tags (
    name text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    value_head text NOT NULL COLLATE pg_catalog."C",
    value_folded text COLLATE pg_catalog."C"
);
CREATE TABLE public.registered_models (
    name text NOT NULL COLLATE pg_catalog."C",
    name_folded text COLLATE pg_catalog."C",
    creation_time bigint NOT NULL,
    last_updated_time bigint NOT NULL,
    description text COLLATE pg_catalog."C",
    deployment_job_id text COLLATE pg_catalog."C",
    deployment_job_state text COLLATE pg_catalog."C",
    next_version bigint NOT NULL
);
CREATE TABLE public.registry_alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.webhooks (
    webhook_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    url text NOT NULL COLLATE pg_catalog."C",
    events text NOT NULL COLLATE pg_catalog."C",
    description text COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    secret text COLLATE pg_catalog."C",
    creation_time bigint NOT NULL,
    last_updated_time bigint NOT NULL
);
INSERT INTO public.model_version_tags VALUES ('churn', 1, 'number', '1', '1', NULL, 1795907173938);
INSERT INTO public.model_version_tags VALUES ('churn', 5, 'number', '5', '5', NULL, 1795907173945);
INSERT INTO public.model_version_tags VALUES ('churn', 2, 'number', '2', '2', NULL, 1795907173970);
INSERT INTO public.model_version_tags VALUES ('多言語', 2, 'pushed', 'yes', 'yes', NULL, 1795907174197);
INSERT INTO public.model_version_tags VALUES ('多言語', 2, 'registry.artifacts.digest', 'sha256:c31da09b43b5c5c17a7de3c1b4a17e820826beeea0748384ff1df65a1c533e7f', 'sha256:c31da09b43b5c5c17a7de3c1b4a17e820826beeea0748384ff1df65a1c533e7f', NULL, 1795907174197);
INSERT INTO public.model_version_tags VALUES ('greeting', 1, 'mlflow.prompt.is_prompt', 'true', 'true', NULL, 1795907174221);
INSERT INTO public.model_version_tags VALUES ('greeting', 1, 'mlflow.prompt.text', 'Hello {{ name }}, ü', 'Hello {{ name }}, ü', NULL, 1795907174221);
INSERT INTO public.model_versions VALUES ('churn', 1, 1795907173938, 1795907173938, 'None', 's3://elsewhere/1', NULL, NULL, 'r1', NULL, 'https://runs.example/1', 'READY', NULL, '', 'ann', NULL);
INSERT INTO public.model_versions VALUES ('churn', 5, 1795907173945, 1795907173945, 'None', 's3://elsewhere/5', NULL, NULL, 'r1', NULL, '', 'READY', NULL, 'the fifth', 'ann', NULL);
INSERT INTO public.model_versions VALUES ('churn', 6, 1795907173955, 1795907173955, 'None', 's3://elsewhere/6', NULL, NULL, '', NULL, '', 'READY', NULL, '', 'ann', NULL);
INSERT INTO public.model_versions VALUES ('churn', 3, 1795907173943, 1795907173965, 'Production', 's3://elsewhere/3', NULL, NULL, 'r1', NULL, '', 'READY', NULL, '', 'ann', NULL);
INSERT INTO public.model_versions VALUES ('churn', 2, 1795907173942, 1795907173970, 'Archived', 's3://elsewhere/2', NULL, NULL, '', NULL, '', 'READY', NULL, '', 'ann', 'm-1');
INSERT INTO public.model_versions VALUES ('多言語', 1, 1795907173990, 1795907173990, 'None', 'models:/churn/3', NULL, 's3://elsewhere/3', 'r1', NULL, '', 'READY', NULL, '', NULL, NULL);
INSERT INTO public.model_versions VALUES ('多言語', 2, 1795907174083, 1795907174197, 'None', '@ROOT@/~E5~A4~9A~E8~A8~80~E8~AA~9E/c31da09b43b5c5c17a7de3c1b4a17e82', NULL, NULL, '', NULL, '', 'READY', NULL, '', NULL, NULL);
INSERT INTO public.model_versions VALUES ('after', 1, 1795907174211, 1795907174214, 'None', 'dbfs:/x', NULL, NULL, '', NULL, '', 'READY', NULL, 'of the renamed', NULL, NULL);
INSERT INTO public.model_versions VALUES ('greeting', 1, 1795907174221, 1795907174221, 'None', 'prompt-template', NULL, NULL, '', NULL, '', 'READY', NULL, '', NULL, NULL);
INSERT INTO public.registered_model_aliases VALUES ('churn', 'champion', 3);
INSERT INTO public.registered_model_aliases VALUES ('churn', 'challenger', 6);
INSERT INTO public.registered_model_aliases VALUES ('多言語', 'champion', 2);
INSERT INTO public.registered_model_aliases VALUES ('after', 'b', 1);
INSERT INTO public.registered_model_aliases VALUES ('greeting', 'live', 1);
INSERT INTO public.registered_model_tags VALUES ('churn', 'team', 'risk', 'risk', NULL);
INSERT INTO public.registered_model_tags VALUES ('churn', 'k ey', 'ü
\"''', 'ü
\"''', NULL);
INSERT INTO public.registered_model_tags VALUES ('Grüße "quoted" ''twice'' 50%', 'team', 'risk', 'risk', NULL);
INSERT INTO public.registered_model_tags VALUES ('Grüße "quoted" ''twice'' 50%', 'k ey', 'ü
\"''', 'ü
\"''', NULL);
INSERT INTO public.registered_model_tags VALUES ('多言語', 'team', 'risk', 'risk', NULL);
INSERT INTO public.registered_model_tags VALUES ('多言語', 'k ey', 'ü
\"''', 'ü
\"''', NULL);
INSERT INTO public.registered_model_tags VALUES ('after', 'team', 'risk', 'risk', NULL);
INSERT INTO public.registered_model_tags VALUES ('after', 'k ey', 'ü
\"''', 'ü
\"''', NULL);
INSERT INTO public.registered_model_tags VALUES ('greeting', 'mlflow.prompt.is_prompt', 'true', 'true', NULL);
INSERT INTO public.registered_models VALUES ('Grüße "quoted" ''twice'' 50%', NULL, 1795907173910, 1795907173910, 'About Grüße "quoted" ''twice'' 50%
', NULL, NULL, 1);
INSERT INTO public.registered_models VALUES ('empty', NULL, 1795907173915, 1795907173915, NULL, NULL, NULL, 1);
INSERT INTO public.registered_models VALUES ('churn', NULL, 1795907173897, 1795907173970, 'A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
A long card.
', NULL, NULL, 8);
INSERT INTO public.registered_models VALUES ('多言語', NULL, 1795907173919, 1795907174083, 'About 多言語
', NULL, NULL, 3);
INSERT INTO public.registered_models VALUES ('after', NULL, 1795907173916, 1795907174214, 'About before
', NULL, NULL, 2);
INSERT INTO public.registered_models VALUES ('greeting', NULL, 1795907174220, 1795907174221, NULL, NULL, NULL, 2);
INSERT INTO public.registry_alembic_version VALUES ('0001');
INSERT INTO public.webhooks VALUES ('0b6c1c4e-0000-4000-8000-000000000001', 'to chat', 'https://chat.example/hook', '[["model_version", "created"]]', 'tells of versions', 'ACTIVE', NULL, 1795907174230, 1795907174230);
ALTER TABLE ONLY public.model_version_tags
    ADD CONSTRAINT pk_model_version_tags PRIMARY KEY (name, version, key);
ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT pk_model_versions PRIMARY KEY (name, version);
ALTER TABLE ONLY public.registered_model_aliases
    ADD CONSTRAINT pk_registered_model_aliases PRIMARY KEY (name, alias);
ALTER TABLE ONLY public.registered_model_tags
    ADD CONSTRAINT pk_registered_model_tags PRIMARY KEY (name, key);
ALTER TABLE ONLY public.registered_models
    ADD CONSTRAINT pk_registered_models PRIMARY KEY (name);
ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT pk_webhooks PRIMARY KEY (webhook_id);
ALTER TABLE ONLY public.registry_alembic_version
    ADD CONSTRAINT registry_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT uq_model_versions_model_updated UNIQUE (name, last_updated_time, version);
CREATE INDEX ix_model_version_tags_value ON public.model_version_tags USING btree (key, value_head, last_updated_time DESC, name, version DESC);
CREATE INDEX ix_model_versions_created ON public.model_versions USING btree (creation_time DESC, name, version DESC);
CREATE INDEX ix_model_versions_run ON public.model_versions USING btree (run_id);
CREATE INDEX ix_model_versions_source ON public.model_versions USING btree (substr(source, 1, 512));
CREATE INDEX ix_model_versions_stage ON public.model_versions USING btree (name, current_stage, version);
CREATE INDEX ix_model_versions_updated ON public.model_versions USING btree (last_updated_time DESC, name, version DESC);
CREATE INDEX ix_registered_model_aliases_version ON public.registered_model_aliases USING btree (name, version);
CREATE INDEX ix_registered_model_tags_value ON public.registered_model_tags USING btree (key, value_head, name);
CREATE INDEX ix_registered_models_updated ON public.registered_models USING btree (last_updated_time DESC, name);
ALTER TABLE ONLY public.model_version_tags
    ADD CONSTRAINT fk_model_version_tags_version FOREIGN KEY (name, last_updated_time, version) REFERENCES public.model_versions(name, last_updated_time, version) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT fk_model_versions_model FOREIGN KEY (name) REFERENCES public.registered_models(name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.registered_model_aliases
    ADD CONSTRAINT fk_registered_model_aliases_version FOREIGN KEY (name, version) REFERENCES public.model_versions(name, version) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY public.registered_model_tags
    ADD CONSTRAINT fk_registered_model_tags_model FOREIGN KEY (name) REFERENCES public.registered_models(name) ON UPDATE CASCADE ON DELETE CASCADE;
