"""Other frameworks' objects from regraft's, and back; import the module you need.

estimators   a classifier for scikit-learn
fastai       loaders, learners, weights
lightning    data modules, modules
huggingface  datasets, model folders for timm and transformers
tracking     TensorBoard, MLflow
"""
