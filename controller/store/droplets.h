/* droplets.h - packages (an image reference), builds (a staging) and droplets (what it found). */
#ifndef CONTROLLER_STORE_DROPLETS_H
#define CONTROLLER_STORE_DROPLETS_H

#include "controller/store/store.h"

/* Filters: guids app_guids space_guids organization_guids states types. */
struct package_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE];
    char *type;     /* "docker" */
    char *state;    /* "READY" */
    char *image;    /* the reference as the user gave it */
    char *username; /* of a private repository; NULL: none */
    char *password; /* sealed */
    char *labels, *annotations;
    char space_guid[GUID_SIZE]; /* read only */
};
STORE_DECLARE(package)

/* Filters: guids app_guids package_guids states space_guids. */
struct build_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE], package_guid[GUID_SIZE];
    char droplet_guid[GUID_SIZE]; /* when STAGED */
    char *state;                  /* "STAGING" | "STAGED" | "FAILED" */
    char *error;                  /* when FAILED: "StagingError - Staging error: ..." */
    uint64_t memory_mb, disk_mb;
    char user_guid[GUID_SIZE]; /* who asked */
    char *user_name;
    /* API v2: once STAGED its droplet becomes the app's and the app is started. */
    bool start_after_staging;
    char *labels, *annotations;
    char space_guid[GUID_SIZE]; /* read only */
};
STORE_DECLARE(build)

/* Filters: guids app_guids package_guids states space_guids. */
struct droplet_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE];
    char package_guid[GUID_SIZE]; /* whose credentials fetch the layers; empty once it is gone */
    char *state;                  /* "STAGED" */
    char *image;                  /* the reference as the user gave it */
    char *digest;                 /* "sha256:..." of the platform's manifest */
    void *image_packed;           /* packed Berth__Image with layers, without credentials; owned */
    size_t image_packed_n;
    char *entrypoint, *cmd, *env;       /* JSON lists of strings; NULL: none */
    char *user, *workdir, *stop_signal; /* NULL: not given */
    char *ports;         /* JSON list [{"Port":8080,"Protocol":"tcp"}], lowest first, tcp first */
    char *process_types; /* JSON object {"web":"/bin/app arg"}: for display */
    char *execution_metadata; /* JSON text as Cloud Foundry's: cmd, entrypoint, workdir, ports, user
                               */
    char *labels, *annotations;
    char space_guid[GUID_SIZE]; /* read only */
};
STORE_DECLARE(droplet)

#endif
