package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/signatures"
	"maunium.net/go/mautrix/crypto/ssss"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// backsUp makes a key backup of all keys that the device has, and puts its
// private key into secret storage. The device has to have made the user's
// cross-signing keys. mautrix-go has the parts of this, and no whole.
func (d *device) backsUp(ctx context.Context, recoveryKey string) (map[string]any, error) {
	key, err := backup.NewMegolmBackupKey()
	if err != nil {
		return nil, err
	}
	version, err := d.makesBackup(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("making a key backup: %w", err)
	}
	storage, err := d.opensStorage(ctx, recoveryKey)
	if err != nil {
		return nil, err
	}
	if err := d.machine.SSSS.SetEncryptedAccountData(ctx, event.AccountDataMegolmBackupKey, key.Bytes(), storage); err != nil {
		return nil, fmt.Errorf("storing the key of the backup: %w", err)
	}
	keys, count, err := d.sealedKeys(ctx, key)
	if err != nil {
		return nil, err
	}
	kept, err := d.client.PutKeysInBackup(ctx, version, keys)
	if err != nil {
		return nil, fmt.Errorf("backing up %d keys: %w", count, err)
	}
	if kept.Count != count {
		return nil, fmt.Errorf("the backup has %d keys after %d were put there", kept.Count, count)
	}
	return map[string]any{"count": count}, nil
}

// makesBackup makes an empty backup, signed with the user's master key.
func (d *device) makesBackup(ctx context.Context, key *backup.MegolmBackupKey) (id.KeyBackupVersion, error) {
	auth := backup.MegolmAuthData{PublicKey: id.Ed25519(base64.RawStdEncoding.EncodeToString(key.PublicKey().Bytes()))}
	master := d.machine.CrossSigningKeys.MasterKey
	signature, err := master.SignJSON(auth)
	if err != nil {
		return "", err
	}
	auth.Signatures = signatures.NewSingleSignature(d.client.UserID, id.KeyAlgorithmEd25519, master.PublicKey().String(), signature)
	made, err := d.client.CreateKeyBackupVersion(ctx, &mautrix.ReqRoomKeysVersionCreate[backup.MegolmAuthData]{
		Algorithm: id.KeyBackupAlgorithmMegolmBackupV1,
		AuthData:  auth,
	})
	if err != nil {
		return "", err
	}
	return made.Version, nil
}

// opensStorage is the key of the user's secret storage.
func (d *device) opensStorage(ctx context.Context, recoveryKey string) (*ssss.Key, error) {
	name, data, err := d.machine.SSSS.GetDefaultKeyData(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding secret storage: %w", err)
	}
	key, err := data.VerifyRecoveryKey(name, recoveryKey)
	if err != nil {
		return nil, fmt.Errorf("opening secret storage: %w", err)
	}
	return key, nil
}

// sealedKeys are all keys that the device has for reading, encrypted, and how
// many there are.
func (d *device) sealedKeys(ctx context.Context, key *backup.MegolmBackupKey) (*mautrix.ReqKeyBackup, int, error) {
	sessions, err := d.machine.CryptoStore.GetAllGroupSessions(ctx).AsList()
	if err != nil {
		return nil, 0, err
	}
	rooms := map[id.RoomID]mautrix.ReqRoomKeyBackup{}
	for _, session := range sessions {
		sealed, err := sealedKey(session, key)
		if err != nil {
			return nil, 0, fmt.Errorf("encrypting the key %s: %w", session.ID(), err)
		}
		if rooms[session.RoomID].Sessions == nil {
			rooms[session.RoomID] = mautrix.ReqRoomKeyBackup{Sessions: map[id.SessionID]mautrix.ReqKeyBackupData{}}
		}
		rooms[session.RoomID].Sessions[session.ID()] = sealed
	}
	return &mautrix.ReqKeyBackup{Rooms: rooms}, len(sessions), nil
}

func sealedKey(session *crypto.InboundGroupSession, key *backup.MegolmBackupKey) (mautrix.ReqKeyBackupData, error) {
	index := session.Internal.FirstKnownIndex()
	exported, err := session.Internal.Export(index)
	if err != nil {
		return mautrix.ReqKeyBackupData{}, err
	}
	sealed, err := backup.EncryptSessionData(key, backup.MegolmSessionData{
		Algorithm:          id.AlgorithmMegolmV1,
		ForwardingKeyChain: []string{},
		SenderClaimedKeys:  backup.SenderClaimedKeys{Ed25519: session.SigningKey},
		SenderKey:          session.SenderKey,
		SessionKey:         string(exported),
	})
	if err != nil {
		return mautrix.ReqKeyBackupData{}, err
	}
	data, err := json.Marshal(sealed)
	return mautrix.ReqKeyBackupData{FirstMessageIndex: int(index), SessionData: data}, err
}

// recovers makes this a device of the user that others trust, and takes in what
// is in the key backup.
func (d *device) recovers(ctx context.Context, recoveryKey string) (map[string]any, error) {
	if err := d.machine.VerifyWithRecoveryKey(ctx, recoveryKey); err != nil {
		return nil, fmt.Errorf("signing the own device: %w", err)
	}
	storage, err := d.opensStorage(ctx, recoveryKey)
	if err != nil {
		return nil, err
	}
	secret, err := d.machine.SSSS.GetDecryptedAccountData(ctx, event.AccountDataMegolmBackupKey, storage)
	if err != nil {
		return nil, fmt.Errorf("finding the key of the backup: %w", err)
	}
	key, err := backup.MegolmBackupKeyFromBytes(secret)
	if err != nil {
		return nil, err
	}
	version, err := d.machine.DownloadAndStoreLatestKeyBackup(ctx, key)
	if err == nil && version == "" {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("restoring the key backup: %w", err)
	}
	sessions, err := d.machine.CryptoStore.GetAllGroupSessions(ctx).AsList()
	return map[string]any{"count": len(sessions)}, err
}
